"""Where a number comes from: versions and the state of the checkout."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from ltbench.engine.provenance import environment, git_state


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package, its plugins and committed results."""
    for name in ("ltbench/plugin.py", "plugins/mine.py", "configs/a.toml", "results/x.json"):
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True)
        path.write_text("1\n")
    root = tmp_path / "repository"
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_a_clean_checkout(checkout: Path) -> None:
    assert git_state(checkout / "ltbench") == (git(checkout, "rev-parse", "HEAD"), False)


@pytest.mark.parametrize("changed", ["ltbench/plugin.py", "ltbench/new.py", "plugins/mine.py", "configs/b.toml"])
def test_changed_or_new_sources_are_dirty(checkout: Path, changed: str) -> None:
    (checkout / changed).write_text("2\n")
    assert git_state(checkout / "ltbench")[1] is True


@pytest.mark.parametrize("changed", ["results/x.json", "results/y.json", "notes.txt"])
def test_new_records_and_notes_are_no_sources(checkout: Path, changed: str) -> None:
    (checkout / changed).write_text("2\n")
    assert git_state(checkout / "ltbench")[1] is False


def test_a_package_that_lies_untracked_inside_a_repository(checkout: Path) -> None:
    """Installed into a virtual environment within somebody's project: that project's commit says nothing about it."""
    installed = checkout / ".venv" / "site-packages" / "ltbench"
    installed.mkdir(parents=True)
    (installed / "plugin.py").write_text("1\n")
    assert git_state(installed) == (None, None)


def test_no_repository_at_all(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)


def test_no_git_on_the_machine(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(checkout / "ltbench") == (None, None)


def test_environment_of_this_process() -> None:
    found = environment(device="cpu", precision="fp32", instructions="AVX2", threads=3)
    assert found.python == platform.python_version()
    assert found.torch == version("torch")
    assert (found.device, found.precision, found.threads) == ("cpu", "fp32", 3)
    assert found.cpu.endswith(", AVX2")
    assert len(found.cpu) > len(", AVX2")
    assert (found.git_commit is None) == (found.git_dirty is None)
