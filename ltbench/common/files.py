"""Files that are either whole or not there: written beside, synced and renamed. No torch."""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ltbench.common.cache import cache_place
from ltbench.errors import DataError

__all__ = ["write_bytes", "written_beside"]

_POLL_SECONDS = 0.1

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What some file systems answer when a folder is to be synced."""


@contextmanager
def written_beside(path: Path, *, durable: bool = True, advice: str | None = None) -> Iterator[Path]:
    """Gives a name to write to, which becomes ``path`` when the block ends; if anything fails, ``path`` stays as it was.

    Args:
        durable: on the disk before the old file goes, so that a power failure leaves one or the other. What carries a
            checksum and can be made again need not be.
        advice: what to do where it cannot be written; by default it fits the place.

    Raises:
        DataError: the place cannot be written.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # of this process: two may write the same file at once
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            if durable:
                _sync(beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error, advice) from error


def write_bytes(path: Path, content: bytes, *, durable: bool = True, advice: str | None = None) -> Path:
    """Write a whole file, and return its path. Arguments and errors as :func:`written_beside`."""
    with written_beside(path, durable=durable, advice=advice) as beside:
        beside.write_bytes(content)
    return path


def write_text(path: Path, text: str, *, durable: bool = True, advice: str | None = None) -> Path:
    """UTF-8, lines as they are. Raises as :func:`written_beside`."""
    return write_bytes(path, text.encode(), durable=durable, advice=advice)


def write_json(path: Path, content: Any) -> Path:
    """Indented JSON. Raises as :func:`written_beside`."""
    return write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def copy_folder(source: Path, target: Path) -> None:
    """Copy the files below a folder, if it is there, each whole. Raises as :func:`written_beside`."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            with written_beside(target / file.relative_to(source), durable=False) as beside:
                shutil.copyfile(file, beside)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlast a power failure, where the file system can do that."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    try:
        _sync(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _sync(path: Path, flags: int = os.O_RDWR) -> None:
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def wait_for(path: Path, seconds: float) -> bool:
    """Whether a file that another process has written can be seen here, within so many seconds."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def unwritable(path: Path, error: Exception, advice: str | None = None) -> DataError:
    """What to say of a place that cannot be written.

    Args:
        advice: what to do; by default it fits the place, for only the cache is chosen by LTBENCH_CACHE.
    """
    place = "set LTBENCH_CACHE to another folder" if _in_cache(path) else "choose another folder"
    return DataError(f"{path} cannot be written: {_reason(error)}. {advice or f'Free some room or {place}.'}")


def unreadable(path: Path, error: OSError) -> DataError:
    """What to say of a file that is there and cannot be read, whatever is in it."""
    todo = "Delete it or set LTBENCH_CACHE to another folder" if _in_cache(path) else "See to it that it can be read"
    return DataError(f"{path} cannot be read: {_reason(error)}. {todo}.")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _in_cache(path: Path) -> bool:
    cache, place = (
        Path(os.path.realpath(one)) for one in (cache_place(), path)
    )  # resolve() raises for a loop of links
    return cache in place.parents
