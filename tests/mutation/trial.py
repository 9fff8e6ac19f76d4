"""Whether the tests notice a mutant: each is tried by a fork of this process, in a copy of the project.

What costs time to import (torch, scipy) is imported here once. Nothing of the project is, so that a fork reads the copy, and
in it the mutant. The copy comes first on the path of subprocesses, too.
"""

import contextlib
import gc
import importlib
import os
import resource
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, settings

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
        # A failing example is all that is asked for: it is not made smaller, and a trial repeats.
        settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate], derandomize=True, database=None)
        settings.load_profile("mutation")
        self._log = copy / ".trial.log"

    def without_mutant(self, tests: Sequence[str]) -> float:
        """CPU seconds of the tests on the code as it is; leaves its byte code for the others.

        Raises:
            RuntimeError: they fail.
        """
        answer, seconds = self._forked(tests, limit=3600, byte_code=True)
        if answer != "survived":
            raise RuntimeError(f"{' '.join(tests)} fail without any mutant:\n{self._log.read_text()}")
        return seconds

    def of(self, module: str, source: str, tests: Sequence[str], limit: float) -> str:
        """``killed``, ``survived`` or, after ``limit`` CPU seconds (wall-clock: 20 times as many), ``timeout``."""
        path = self.copy / module
        with _replaced(path, source):
            return self._forked(tests, limit, byte_code=False)[0]

    def _forked(self, tests: Sequence[str], limit: float, byte_code: bool) -> tuple[str, float]:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            self._run(tests, limit, byte_code)
        _, status, usage = os.wait4(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what the trial started and left
        seconds = usage.ru_utime + usage.ru_stime
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM):
            return "timeout", seconds
        return ("survived" if status == 0 else "killed"), seconds

    def _run(self, tests: Sequence[str], limit: float, byte_code: bool) -> None:
        code = 3
        try:
            os.setsid()
            with self._log.open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            sys.dont_write_bytecode = not byte_code
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.setitimer(signal.ITIMER_REAL, 20 * limit)
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
            code = int(pytest.main([*options, f"--basetemp={self.copy / '.trial'}", *tests]))
        finally:
            os._exit(code)


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
