"""Which functions each test enters, and how long it takes: a pytest plugin."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest


class Watch:
    """Functions are ``[module, Class.method]`` with the module's path relative to the root.

    Args:
        root: the folder of the modules.
        modules: paths relative to it; calls elsewhere are not looked at.
        answer: file for the JSON: ``outside`` of any test (while collecting), and for each of ``tests`` its name, CPU
            ``seconds`` and ``functions``.
    """

    def __init__(self, root: Path, modules: tuple[str, ...], answer: Path) -> None:
        self._modules = {str(root / module): module for module in modules}
        self._answer = answer
        self._entered: set[tuple[str, str]] = set()
        self._outside: set[tuple[str, str]] = set()
        self._tests: list[dict] = []

    def pytest_sessionstart(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._outside |= self._entered
        self._entered = set()
        started = time.process_time()
        done = yield
        seconds = time.process_time() - started
        self._tests.append({"name": item.nodeid, "seconds": seconds, "functions": sorted(self._entered)})
        self._entered = set()
        return done

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        self._answer.write_text(json.dumps({"outside": sorted(self._outside), "tests": self._tests}))

    def _call(self, frame: FrameType, event: str, argument: object) -> None:
        module = self._modules.get(frame.f_code.co_filename)
        if module is not None:
            names = frame.f_code.co_qualname.split(".")
            self._entered.add((module, ".".join(name for name in names if not name.startswith("<"))))
