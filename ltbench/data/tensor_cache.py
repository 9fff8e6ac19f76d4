"""Tensors that take a while to make, kept in the cache folder as safetensors with their checksum."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ltbench.cache import cache_dir
from ltbench.errors import DataError
from ltbench.files import save_beside, unwritable

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
    """What the file holds; None where there is none, or a damaged one (with a warning)."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            texts = file.metadata() or {}
    except SafetensorError:
        tensors, texts = {}, {}
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error}. Delete it, or set LTBENCH_CACHE to another folder."
        ) from error
    if texts.pop("checksum", None) == _checksum(tensors, texts):
        return tensors, texts
    print(f"ltbench: {path} is damaged; making it again.", file=sys.stderr)
    return None


def _stored(path: Path, tensors: dict[str, Tensor], texts: dict[str, str]) -> Kept:
    save_beside(tensors, path, {**texts, "checksum": _checksum(tensors, texts)})
    return tensors, texts


def _checksum(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    total = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for key in sorted(tensors):
        total.update(f"{key} {list(tensors[key].shape)} {tensors[key].dtype}".encode())
        total.update(tensors[key].contiguous().numpy().data)
    return total.hexdigest()
