"""Tensors that take a while to make, kept in the cache folder as safetensors with their checksum."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from ltbench.common.cache import cache_dir
from ltbench.common.files import unwritable
from ltbench.common.sealed import Damaged, set_aside
from ltbench.common.sealed_tensors import read_tensors, write_tensors

__all__ = ["Kept", "cached"]

Kept = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors by name, and texts that go with them."""


def cached(name: str, make: Callable[[], Kept]) -> Kept:
    """What ``make`` returned under this file name, in this run or an earlier one; made by one process while others wait.

    Returns:
        Tensors, mapped from the file into memory where they come from it, and texts.

    Raises:
        DataError: the cache folder cannot be written, or a file in it not be read.
    """
    path = cache_dir() / "datasets" / f"{name}.safetensors"
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        return _whole(path) or _stored(path, *make())
    finally:
        lock.release()


def _whole(path: Path) -> Kept | None:
    """What the file holds; None where there is none, or a damaged one, which is set aside."""
    if not path.exists():
        return None
    try:
        found = read_tensors(path, _of(path))
    except Damaged as why:
        set_aside(path, why)
        return None
    return found.tensors, found.texts


def _stored(path: Path, tensors: dict[str, Tensor], texts: dict[str, str]) -> Kept:
    write_tensors(path, tensors, _of(path), texts)
    return tensors, texts


def _of(path: Path) -> str:
    return f"dataset {path.stem}"
