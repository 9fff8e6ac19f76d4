"""Real installs without network: wheels by pip, folders that expose chosen distributions, subprocesses in them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
SOURCES = ("ltbench", "plugins", "configs", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")

OFFLINE = ("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")


def clean_environment() -> dict[str, str]:
    """The caller's, without what would lead Python or ltbench back to the sources."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("LTBENCH_", "PYTHON"))}


def pip(*arguments: str | Path, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr


def build_wheels(target: Path, work: Path) -> None:
    """Wheels of ltbench and of every fixture, from copies: building leaves files beside the sources."""
    without_caches = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in SOURCES:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, work / "ltbench" / name, ignore=without_caches)
        else:
            shutil.copy(source, work / "ltbench" / name)
    for folder in (PROJECT / "tests" / "fixtures").glob("*_plugin"):
        shutil.copytree(folder, work / folder.name, ignore=without_caches)
    pip("wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", target, *sorted(work.iterdir()), cwd=work)


def expose(found: Iterable[Distribution], folder: Path) -> Path:
    """A folder for the search path that holds these distributions and no other, as links."""
    folder.mkdir(parents=True)
    for distribution in found:
        for name in {file.parts[0] for file in distribution.files or ()} - {"..", "bin", "__pycache__"}:
            (folder / name).symlink_to(Path(str(distribution.locate_file(name))))
    return folder


def with_requirements(names: Iterable[str]) -> list[Distribution]:
    """The installed distributions of these names and all that they require here."""
    installed = {distribution.name.lower().replace("_", "-"): distribution for distribution in distributions()}
    waiting, found = list(names), {}
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in found:
            found[name] = installed[name]
            wanted = map(Requirement, installed[name].requires or ())
            waiting += [need.name for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    return list(found.values())


def run_python(
    *arguments: str, sites: Iterable[Path] = (), env: Mapping[str, str] = {}, cwd: Path, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run Python with these folders before its own packages, and none of the caller's settings of ltbench."""
    paths = {"PYTHONPATH": os.pathsep.join(map(str, sites)), "LTBENCH_CACHE": str(cwd / "cache"), "COLUMNS": "200"}
    complete = clean_environment() | paths | dict(env)
    return subprocess.run([python, *arguments], env=complete, cwd=cwd, capture_output=True, text=True, check=False)
