"""The bytes of image files: what may be opened, and how a file is told from a changed one. No torch."""

import os
import stat
from typing import NamedTuple

from ltbench.errors import DataError

MAX_PIXELS = 100_000_000
"""Pixels of the largest picture that is decoded. A larger one takes seconds and gigabytes, and is more often a bomb."""

MAX_BYTES = 8 * MAX_PIXELS
"""Size of the largest file that is read: as many pixels of four channels with 16 bits, uncompressed."""

_INT64 = 2**63 - 1
"""Inode numbers are unsigned."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


class BadImage(Exception):
    """An image that cannot be had; the message says why, without its path."""


class Stamp(NamedTuple):
    """What a file's status says of its content: while it stays the same, so does the content.

    ``changed`` is the time of the last change of the status (ctime), which programs cannot set; in nanoseconds, as ``modified``.
    """

    size: int
    modified: int
    changed: int
    inode: int


def stamp(path: str) -> Stamp:
    """The stamp of an image file, which is not opened. Raises BadImage as :func:`read_bytes`."""
    try:
        return _checked(os.stat(path))  # noqa: PTH116 (a Path object for each of a million files costs more than the call)
    except (OSError, ValueError) as error:
        raise _bad(error) from error


def read_bytes(path: str) -> tuple[bytes, Stamp]:
    """The content of an image file and its stamp from before it was read.

    Only regular files are opened: a named pipe would be waited for, a device may do something when it is opened.

    Raises:
        BadImage: it is missing, no regular file, too large, behind a loop of links, or cannot be read.
    """
    try:
        _checked(os.stat(path))  # noqa: PTH116
        # Should the path lead elsewhere by now, opening it must not wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with open(descriptor, "rb") as file:  # noqa: PTH123
            found = _checked(os.fstat(descriptor))
            return file.read(), found
    except (OSError, ValueError) as error:
        raise _bad(error) from error


def unreadable(path: str, why: object) -> DataError:
    """The error of a run that meets a bad image."""
    return DataError(
        f"image {path}: {why}. 'ltbench data check' lists all such images; --on-bad-image skip leaves them out."
    )


def _checked(status: os.stat_result) -> Stamp:
    if not stat.S_ISREG(status.st_mode):
        raise BadImage(f"not a regular file but {_KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}")
    if status.st_size > MAX_BYTES:
        raise BadImage(f"a file of {status.st_size:,} bytes: more than the {MAX_BYTES:,} that are read")
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & _INT64)


def _bad(error: OSError | ValueError) -> BadImage:
    if isinstance(error, FileNotFoundError):
        return BadImage("no such file")
    return BadImage(str(getattr(error, "strerror", None) or error))
