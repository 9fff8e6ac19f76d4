"""The wheel, installed by pip into an environment that has next to nothing."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from .installing import OFFLINE, PROJECT, expose, pip, run_python, with_requirements

ENOUGH_FOR_LISTING = ("rich-click", "pluggy")


@pytest.fixture(scope="module")
def wheel(wheels: Path) -> Path:
    (found,) = wheels.glob("ltbench-*-py3-none-any.whl")
    return found


def test_the_wheel_holds_the_recipes_and_the_data_files(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    recipes = {path.relative_to(PROJECT / "configs").as_posix() for path in (PROJECT / "configs").rglob("*.toml")}
    assert recipes
    assert {f"ltbench/_configs/{recipe}" for recipe in recipes} <= held
    templates = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / "ltbench").rglob("*.jinja")}
    assert templates <= held
    assert "ltbench/py.typed" in held
    assert not [name for name in held if name.startswith(("tests", "plugins"))]


def test_a_clean_environment_lists_the_methods_without_torch(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    (site,) = environment.rglob("site-packages")
    (site / "requirements.pth").write_text(str(expose(with_requirements(ENOUGH_FOR_LISTING), tmp_path / "light")))
    pip("--python", python, "install", *OFFLINE, wheel, cwd=tmp_path)

    missing = run_python("-c", "import torch", cwd=tmp_path, python=str(python))
    assert "No module named 'torch'" in missing.stderr

    command = [str(python.with_name("ltbench")), "list", "methods", "--json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": ""})
    assert listed.stderr == ""
    provided = {method["name"]: method["provider"] for method in json.loads(listed.stdout)}
    assert {"baseline", "experts"} <= set(provided)
    assert provided["baseline"]["version"] == version_in(wheel)


def version_in(wheel: Path) -> str:
    return wheel.name.split("-")[1]
