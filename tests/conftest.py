"""A cache folder that is never the user's own, and the command line in this process."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tiny import Outcome

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the networks of the tests are tiny
# Nothing is judged by how long it takes: on a busy machine any example may take long.
settings.register_profile("untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
os.environ["COLUMNS"] = "160"  # pytest-xdist sets 80 in its workers; the tests read whole rows


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests and all workers of pytest-xdist: a stage that several tests need is trained once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ltbench-cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def forgotten_plugin_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugin files that a test wrote are unknown to the next one, which may write others of the same name."""
    yield
    folder = str(tmp_path_factory.getbasetemp().resolve())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(folder):
            del sys.modules[name]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for this test alone."""
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("LTBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def ltb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """The command line in this process: ``ltb("run", "--method", "baseline")``. Plugin files are forgotten afterwards."""
    from ltbench.cli import invoke
    from ltbench.registry import manager

    monkeypatch.setattr(manager, "_files", ())
    monkeypatch.setattr(manager, "_loaded", None)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = invoke([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
