"""Where two plain values (of JSON) differ, numbers within a tolerance. No torch."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def first_difference(stated: Any, found: Any, allowed: float, where: str = "") -> str:
    """Where two plain values differ, and how; empty where they do not. Numbers of one list are compared on one scale."""
    if isinstance(stated, Mapping) and isinstance(found, Mapping):
        if (
            found.keys() == {"numbers", "sha256"} == stated.keys()
        ):  # a long list: the hash of floats differs with the machine
            return "" if stated["numbers"] == found["numbers"] else f"{where} had another length"
        if stated.keys() != found.keys():
            odd = sorted(stated.keys() ^ found.keys())[0]
            return f"{where}: '{odd}' is in one of both only"
        below = (first_difference(stated[key], found[key], allowed, f"{where}.{key}") for key in found)
        return next(filter(None, below), "")
    if _are_numbers(stated) and _are_numbers(found):
        a, b = np.atleast_1d(np.asarray(stated, float)), np.atleast_1d(np.asarray(found, float))
        if a.shape == b.shape and np.abs(a - b).max(initial=0) <= allowed * max(1.0, np.abs(b).max(initial=0)):
            return ""
    return "" if stated == found else f"{where} is {_short(stated)}, it should be {_short(found)}"


def _are_numbers(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(_is_number(entry) for entry in value)
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
