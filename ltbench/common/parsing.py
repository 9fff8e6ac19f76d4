"""JSON and TOML from files that anyone may have written: what they cannot be is a ValueError with one line. No torch."""

import json
import tomllib
from collections.abc import Collection
from typing import Any

_TABLES = {dict, list}

DEEPEST = 32
"""Levels of tables and lists; what walks a value needs no more, and recursion ends at some hundreds."""


def json_value(text: str) -> Any:
    """The value of a JSON text. Raises ValueError: malformed, a key given twice, or deeper than :data:`DEEPEST`."""
    return _shallow(_within_recursion(lambda: json.loads(text, object_pairs_hook=_each_key_once)))


def toml_table(text: str) -> dict[str, Any]:
    """The table of a TOML text. Raises ValueError: malformed (with the line), or deeper than :data:`DEEPEST`."""
    table: dict[str, Any] = _shallow(_within_recursion(lambda: tomllib.loads(text)))
    return table


def _within_recursion(parse: Any) -> Any:
    try:
        return parse()
    except RecursionError:
        raise TooDeep from None


class TooDeep(ValueError):
    """More than :data:`DEEPEST` levels."""

    def __init__(self) -> None:
        super().__init__(f"nested too deeply; {DEEPEST} tables and lists within each other are taken")


def _shallow(value: Any) -> Any:
    level, depth = _nested([value]), 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise TooDeep
        level = [entry for part in level for entry in _nested(part.values() if isinstance(part, dict) else part)]
    return value


def _nested(values: Collection[Any]) -> list[Any]:
    """Those that are tables or lists. Long lists of numbers, of which records have many, are looked through at C's speed."""
    if _TABLES.isdisjoint(map(type, values)):
        return []
    return [value for value in values if type(value) in _TABLES]


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        repeated = next(key for position, (key, _) in enumerate(pairs) if key in dict(pairs[:position]))
        raise ValueError(f"the key '{repeated}' is given twice in one object")
    return table
