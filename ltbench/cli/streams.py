"""Standard streams that are closed or full: found out, said, and never given to another file."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class StandardOutput:
    """Standard output that remembers whether it could not be written: the error itself does not say which file it is about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failed = False

    def write(self, text: str) -> int:
        with self._noting():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._noting():
            self._stream.flush()

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.failed = True
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_standard_streams() -> None:
    """Give descriptors 0 to 2 to /dev/null where they are closed: else the next file opened would get what is printed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, StandardOutput(sys.stdout))


def output_failed() -> bool:
    """Whether something could not be written to standard output."""
    return getattr(sys.stdout, "failed", False)


def give_up_output() -> None:
    """Send the rest to /dev/null, or the interpreter complains when it flushes at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
