"""Caches of finished runs, each made once and then copied."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from tiny import Outcome

from .damage import EXPERTS, RUN


@pytest.fixture
def finished(shared_cache: Path) -> Callable[..., Path]:
    """``finished(name, arguments, ltb)``: a cache after a run, done once for all workers of pytest-xdist.

    What it answered is in ``answer.json``. ``ltb`` is given the cache and the arguments.
    """

    def made(name: str, arguments: list[str], ltb: Callable[[Path, list[str]], Outcome]) -> Path:
        whole = shared_cache.with_name(name)
        with FileLock(f"{whole}.lock"):
            if not (whole / "answer.json").exists():
                done = ltb(whole, arguments)
                assert done.code == 0, done.err
                (whole / "answer.json").write_text(done.out)
        return whole

    return made


@pytest.fixture
def in_cache(ltb: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, list[str]], Outcome]:
    """The command line in this process, with another cache."""

    def call(cache: Path, arguments: list[str]) -> Outcome:
        with monkeypatch.context() as patch:
            patch.setenv("LTBENCH_CACHE", str(cache))
            return ltb(*arguments)

    return call


@pytest.fixture
def whole_experts(finished: Callable[..., Path], in_cache: Callable[..., Outcome]) -> Path:
    """A cache after :data:`EXPERTS`, not to be changed."""
    return finished("integrity-experts", EXPERTS, in_cache)


@pytest.fixture
def cache(finished: Callable[..., Path], in_cache: Callable[..., Outcome], own_cache: Path) -> Path:
    """The test's own cache as :data:`RUN` leaves it."""
    return shutil.copytree(finished("integrity-baseline", RUN, in_cache), own_cache)


@pytest.fixture
def experts_cache(whole_experts: Path, own_cache: Path) -> Path:
    """The test's own cache as :data:`EXPERTS` leaves it."""
    return shutil.copytree(whole_experts, own_cache)
