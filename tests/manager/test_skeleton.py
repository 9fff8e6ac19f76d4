"""``ltbench plugin new`` writes packages that work at once, and whose tests survive that everything in them is renamed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Outcome, settings

from ltbench.cli import invoke
from ltbench.registry import manager

from .installing import OFFLINE, pip
from .projects import KINDS, installed, names_in, renamed

Ltb = Callable[..., Outcome]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> the package that was written, installed."""
    folder = tmp_path_factory.mktemp("projects")
    for kind in KINDS:
        assert invoke(["plugin", "new", f"first-{kind}", "--kind", kind, "--directory", str(folder)]) == 0
    return {kind: installed(folder / f"first-{kind}") for kind in KINDS}


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts projects on the search path."""

    def install(*folders: Path) -> None:
        for folder in folders:
            monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setattr(manager, "_loaded", None)

    return install


def run_pytest(tmp_path: Path, *folders: Path) -> str:
    """Their own tests in a process of its own; what it printed."""
    paths = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *map(str, folders)],
        env=os.environ | {"PYTHONPATH": paths, "LTBENCH_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_tests_pass_at_once(projects: dict[str, Path], tmp_path: Path) -> None:
    assert "20 passed" in run_pytest(tmp_path, *projects.values())


def test_all_tests_pass_when_everything_is_renamed(projects: dict[str, Path], tmp_path: Path) -> None:
    for project in projects.values():
        said = "".join(path.read_text(encoding="utf-8") for path in (project / "tests").rglob("*.py"))
        assert [name for name in names_in(project) if name in said] == []
    others = [installed(renamed(project, tmp_path / "other" / project.name)) for project in projects.values()]
    for other, project in zip(others, projects.values(), strict=True):
        said = "".join(path.read_text(encoding="utf-8") for path in other.glob("other_*/*.py"))
        assert f'target="other_{project.name.replace("-", "_")}.core:Renamed' in said
    assert "20 passed" in run_pytest(tmp_path, *others)


@pytest.mark.parametrize("kind", KINDS)
def test_plugin_test_passes_by_name_distribution_and_folder(
    projects: dict[str, Path], having: Callable[..., None], ltb: Ltb, kind: str
) -> None:
    having(projects[kind])
    what = kind if kind in ("fuser", "dataset") else "method"
    done = ltb("plugin", "test", f"first-{kind}")
    assert (done.code, done.out) == (0, f"ok      {what} 'first-{kind}'\n")
    if kind in ("fuser", "dataset"):  # methods are trained; once is enough
        for target in (f"ltbench_first-{kind}", projects[kind]):
            done = ltb("plugin", "test", target)
            assert done.code == 0
            assert done.out.splitlines()[-1] == f"ok      {what} 'first-{kind}'"


def test_they_are_clean(projects: dict[str, Path], tmp_path: Path) -> None:
    ruff = shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not here")
    long = tmp_path / "long"
    for kind in KINDS:
        name = f"a-rather-long-name-for-a-{kind}"
        assert invoke(["plugin", "new", name, "--kind", kind, "--directory", str(long)]) == 0
    for folder in (*projects.values(), *long.iterdir()):
        for command in (["check"], ["check", "--select", "E,F,W,I,B,UP,SIM,RUF,PT"], ["format", "--check"]):
            done = subprocess.run([ruff, *command, "."], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_of_the_dataset_takes_its_recipe(
    projects: dict[str, Path], having: Callable[..., None], ltb: Ltb, own_cache: Path
) -> None:
    having(projects["dataset"], projects["fuser"], projects["second-stage"])
    shorter = settings(baseline={"optim": {"epochs": 2}})
    done = ltb("run", "-d", "first-dataset", "-m", "first-second-stage", "-f", "first-fuser", *shorter, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    record = next(
        one for one in answer["records"] if one["methods"] == ["first-second-stage"] and one["fuser"] != "none"
    )
    assert record["fuser"] == "first-fuser"
    assert record["dataset"]["train_counts"] == [80, 25, 6]
    assert record["config"]["backbone"]["kwargs"]["widths"] == [16, 32, 64, 64]


def test_pip_installs_all_that_belongs_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ltb: Ltb) -> None:
    done = ltb("plugin", "new", "my-data_2", "--kind", "dataset", "--directory", tmp_path)
    assert done.code == 0
    assert f"pip install -e {tmp_path / 'my-data_2'}\n  ltbench plugin test my-data_2\n" in done.out
    site = tmp_path / "site"
    pip("install", *OFFLINE, "--no-build-isolation", "--target", site, tmp_path / "my-data_2", cwd=tmp_path)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(manager, "_loaded", None)
    mine = manager.plugins().datasets.get("my-data_2")
    assert (mine.plugin.name, mine.plugin.provider) == ("my-data_2", "ltbench-my-data_2 0.1.0")
    package = site / "ltbench_my_data_2"
    assert {path.name for path in (package / "sample").iterdir()} == {"train.csv", "val.csv", "test.csv"}
    assert (package / "recipes" / "baseline.toml").is_file()
    assert ltb("plugin", "test", "ltbench-my-data_2").code == 0


@pytest.mark.parametrize("name", ["Mine", "2nd", "a.b", "../up", ""])
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plugin", "new", name, "--directory", str(tmp_path)]) == 2
    assert "cannot name a plugin" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    assert invoke(["plugin", "new", "mine", "--directory", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not list((tmp_path / "mine").iterdir())
