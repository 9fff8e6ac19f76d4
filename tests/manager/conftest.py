"""ltbench and the fixture packages, built and installed once for a test run, whatever is installed around it."""

import os
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from filelock import FileLock

from ltbench.registry import manager
from ltbench.registry.manager import Plugins

from .installing import OFFLINE, build_wheels, expose, pip, run_python

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def wheels(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of ltbench and of every fixture package."""
    folder = shared / "wheels"
    with FileLock(shared / "wheels.lock"):
        if not folder.exists():
            work = tmp_path_factory.mktemp("sources")
            build_wheels(shared / "wheels-unfinished", work)
            (shared / "wheels-unfinished").rename(folder)
    return folder


@pytest.fixture(scope="session")
def everything(shared: Path, wheels: Path) -> Path:
    """All of them installed by pip into one folder."""
    folder = shared / "everything"
    with FileLock(shared / "everything.lock"):
        if not folder.exists():
            unfinished = shared / "everything-unfinished"
            pip("install", *OFFLINE, "--target", unfinished, *wheels.glob("*.whl"), cwd=shared)
            unfinished.rename(folder)
    return folder


@pytest.fixture
def ltbench(everything: Path, tmp_path: Path) -> Run:
    """Runs ``ltbench`` where it and the distributions ``having`` are installed."""

    def run(*arguments: str, having: tuple[str, ...] = (), env: dict[str, str] | None = None) -> CompletedProcess[str]:
        chosen = [found for found in distributions(path=[str(everything)]) if found.name in ("ltbench", *having)]
        assert len(chosen) == 1 + len(having)
        site = tmp_path / "+".join(("site", *having))
        if not site.exists():
            expose(chosen, site)
        return run_python("-m", "ltbench", *arguments, sites=[site], env=env or {}, cwd=tmp_path)

    return run


@pytest.fixture
def installed(everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plugins]:
    """Puts fixtures' distributions on this process's own search path and finds the plugins anew.

    Of ltbench the entry points alone are put there: its code is this process's.
    """

    def install(*names: str) -> Plugins:
        chosen = [found for found in distributions(path=[str(everything)]) if found.name in names]
        site = expose(chosen, tmp_path / "site")
        (metadata,) = everything.glob("ltbench-*.dist-info")
        (site / metadata.name).symlink_to(metadata)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setattr(manager, "_loaded", None)
        return manager.plugins()

    return install
