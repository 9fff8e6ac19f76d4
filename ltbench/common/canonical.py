"""One text for one value, so that equal values have equal hashes. No torch."""

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np

__all__ = ["digest"]

_PLAIN = {type(None), bool, int, float, str}
"""Of these a long list needs no look at each entry."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and without white space.

    Takes what JSON takes, and tuples (as lists), paths (with forward slashes), enumerations (as their values) and numpy
    scalars and arrays (as numbers and lists).

    Raises:
        TypeError: a value of another type, or a mapping key that is no string.
        ValueError: NaN or an infinity, which JSON cannot hold.
    """
    return _of_plain(plain(value))


def digest(value: Any) -> str:
    """sha256 (hex) of the value as canonical JSON: equal values, equal digests.

    Takes what JSON takes, and tuples, paths, enumerations, numpy scalars and arrays.

    Raises:
        TypeError: a value of another type, or a mapping key that is no string.
        ValueError: NaN or an infinity.
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_of_plain(value: Any) -> str:
    """:func:`digest` of what JSON reads back, in a third of the time less: its types are taken on trust."""
    return hashlib.sha256(_of_plain(value).encode()).hexdigest()


def _of_plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The value in the types that JSON reads back. Raises TypeError for what :func:`canonical_json` does not take."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"a mapping key must be a string to be hashed, got {odd[0]!r}")
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return list(value) if _PLAIN.issuperset(map(type, value)) else [plain(entry) for entry in value]
    raise TypeError(f"{value!r} of type {type(value).__name__} has no canonical form")
