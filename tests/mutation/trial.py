"""Whether the tests notice a mutant: each is tried by a fork of this process, in a copy of the project.

What costs time to import (torch, scipy) is imported here once. Nothing of the project is, so that a fork reads the copy, and
in it the mutant. The copy comes first on the path of subprocesses, too. A trial runs those of the guarding tests that enter the
mutated function, the quickest first, up to the first that fails.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from mutants import Mutant
from watch import Watch

MEMORY = 16 * 2**30
"""Address space of a fork, bytes."""


class Trials:
    """Trials of one project in a copy.

    Args:
        copy: the folder of the copy; it is made and becomes the working directory.
        root: the project.
        parts: files and folders to copy, relative to ``root``.
        paths: folders of the copy that modules are imported from.
        preload: names of modules to import once.
    """

    def __init__(
        self, copy: Path, root: Path, parts: Sequence[str], paths: Sequence[str], preload: Sequence[str]
    ) -> None:
        self.copy = copy
        for part in parts:
            _copied(root / part, copy / part)
        sys.path[:0] = [str(copy / path) for path in paths]
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[: len(paths)])
        os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0"}
        os.chdir(copy)
        for name in preload:
            importlib.import_module(name)
        gc.freeze()  # pytest collects garbage at its end, and the imported libraries hold none
        # A failing example is all that is asked for: it is not made smaller, and a trial repeats. Where the project's tests
        # have a profile of their own, it must be made from this one.
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutation", phases=phases, derandomize=True, database=None, deadline=None)
        settings.load_profile("mutation")
        self._log = copy / ".trial.log"

    def guards(self, modules: tuple[str, ...], tests: tuple[str, ...]) -> "Guards":
        """Which of the tests guard what, from a run on the code as it is; it leaves its byte code for the trials.

        Raises:
            RuntimeError: they fail.
        """
        answer = self.copy / ".watch.json"
        if self._forked(tests, limit=3600, watch=Watch(self.copy, modules, answer)) != "survived":
            raise RuntimeError(f"{' '.join(tests)} fail without any mutant:\n{self._log.read_text()}")
        return Guards(**json.loads(answer.read_text()))

    def of(self, mutant: Mutant, guards: "Guards") -> str:
        """``killed``, ``survived`` or, after five times the CPU seconds that the tests take, ``timeout``."""
        tests, seconds = guards.of(mutant)
        with _replaced(self.copy / mutant.module, mutant.source):
            return self._forked(tests, limit=5 * seconds + 5)

    def _forked(self, tests: Sequence[str], limit: float, watch: Watch | None = None) -> str:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            self._run(tests, limit, watch)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what the trial started and left
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM):
            return "timeout"
        return "survived" if status == 0 else "killed"

    def _run(self, tests: Sequence[str], limit: float, watch: Watch | None) -> None:
        code = 3
        try:
            os.setsid()
            with self._log.open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            sys.dont_write_bytecode = watch is None
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.setitimer(signal.ITIMER_REAL, 20 * limit)  # one that waits takes no CPU
            options = [
                "-x",
                "-q",
                "--no-header",
                "--tb=short",
                "-p",
                "no:cacheprovider",
                "-p",
                "_hypothesis_pytestplugin",
            ]
            plugins = [] if watch is None else [watch]
            code = int(pytest.main([*options, f"--basetemp={self.copy / '.trial'}", *tests], plugins))
        finally:
            os._exit(code)


class Guards:
    """The tests that enter each function; see :class:`watch.Watch` for the arguments."""

    def __init__(self, outside: list[list[str]], tests: list[dict]) -> None:
        self._outside = {tuple(function) for function in outside}
        self._tests = sorted(tests, key=lambda test: test["seconds"])

    def of(self, mutant: Mutant) -> tuple[list[str], float]:
        """Names and CPU seconds: all tests where none enters, or where it runs while they are collected."""
        function = [mutant.module, mutant.where]
        entering = [test for test in self._tests if function in test["functions"]]
        if not entering or tuple(function) in self._outside:
            entering = self._tests
        return [test["name"] for test in entering], sum(test["seconds"] for test in entering)


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*", "*.egg-info"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


@contextlib.contextmanager
def _replaced(path: Path, source: str) -> Iterator[None]:
    """The file with another content, and no byte code of it: that is told apart by size and whole seconds only."""
    before = path.read_bytes()
    for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        stale.unlink()
    path.write_text(source, encoding="utf-8")
    try:
        yield
    finally:
        path.write_bytes(before)
