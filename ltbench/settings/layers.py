"""Layers of settings (recipes, file, options, ``--set``), merged key by key; each value remembers its source."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any

from ltbench.common.parsing import DEEPEST, TooDeep, toml_table
from ltbench.errors import UsageError

KeyPath = tuple[str, ...]
"""A key as its parts: ``experts.optim.lr`` is ``("experts", "optim", "lr")``."""

DEFAULT = "default"
"""Source of what no layer says."""

NAMED = ("dataset", "backbone")
"""Tables that may be given by their name alone."""


@dataclass(frozen=True)
class Layer:
    """Settings from one source, nested as in TOML. ``backbone = "x"`` is spelt out as ``backbone.name = "x"``."""

    source: str
    values: dict[str, Any]

    def __post_init__(self) -> None:
        spelt = {key: {"name": self.values[key]} for key in NAMED if isinstance(self.values.get(key), str)}
        object.__setattr__(self, "values", {**self.values, **spelt})


@dataclass(frozen=True)
class Given:
    """A value that some layer gives."""

    value: Any
    source: str


Merged = dict[KeyPath, Given]
"""What all layers give together, one entry for each key that is no table or an empty one."""


def read_toml(path: Path | Traversable, source: str) -> Layer:
    """The layer in a TOML file. Raises UsageError for one that is missing, unreadable or malformed (with the line)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"configuration file {path}: no such file.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"configuration file {path} is not UTF-8, as TOML must be: {error}.") from error
    except OSError as error:
        raise UsageError(f"configuration file {path} cannot be read: {error.strerror or error}.") from error
    try:
        return Layer(source, toml_table(text))
    except TooDeep as error:
        raise UsageError(f"{path}: {error}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {' '.join(str(error).split())}.") from error


def parse_override(text: str) -> Layer:
    """The layer of one ``--set KEY=VALUE``: VALUE as TOML reads it, taken as a string where TOML does not.

    Raises:
        UsageError: no ``=``, an empty key or part of one, or what is nested too deeply.
    """
    key, equals, written = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise UsageError(f"--set {text!r}: write KEY=VALUE, for example --set experts.reject_ratio=8.")
    if len(parts) > DEEPEST:
        raise UsageError(f"--set {key[:40]}...: {TooDeep()}.")
    try:
        value = toml_table(f"value = {written}")["value"]
    except TOMLDecodeError:
        value = written.strip()
    except ValueError as error:
        raise UsageError(f"--set {key[:40]}: {error}.") from error
    for part in reversed(parts):
        value = {part: value}
    return Layer("--set", value)


def merge(layers: Iterable[Layer]) -> Merged:
    """Later layers win, key by key. Lists are replaced whole; an empty table clears what the layers below put there."""
    merged: Merged = {}
    for layer in layers:
        for path, value in leaves(layer.values):
            for other in [other for other in merged if _one_above_the_other(path, other)]:
                del merged[other]
            merged[path] = Given(value, layer.source)
    return merged


def leaves(values: dict[str, Any], above: KeyPath = ()) -> list[tuple[KeyPath, Any]]:
    """Every key that is no table, with its value; and every empty table, but for a section's bare header."""
    found: list[tuple[KeyPath, Any]] = []
    for key, value in values.items():
        path = (*above, key)
        if not isinstance(value, dict):
            found.append((path, value))
        elif value:
            found += leaves(value, path)
        elif above:
            found.append((path, {}))
    return found


def nest(merged: Merged) -> dict[str, Any]:
    """The values alone, nested as in TOML."""
    values: dict[str, Any] = {}
    for path, given in merged.items():
        table = values
        for part in path[:-1]:
            table = table.setdefault(part, {})
        table[path[-1]] = given.value
    return values


def source_of(path: KeyPath, merged: Merged, default: str = DEFAULT) -> str:
    """Where the value at ``path`` came from; for a table, where its keys did, lowest layer first."""
    related = [given.source for other, given in merged.items() if other == path or _one_above_the_other(path, other)]
    return ", ".join(dict.fromkeys(related)) or default


def only_about(layers: Sequence[Layer], table: str, name: str, unnamed: str) -> list[Layer]:
    """The layers without what they say of another dataset or backbone than the one chosen.

    A layer that names none speaks of the one named below it; at the bottom, of ``unnamed``.

    Args:
        table: ``dataset`` or ``backbone``.
        name: the one chosen.
        unnamed: what the lowest layers speak of until one says a name.
    """
    kept = []
    for layer in layers:
        said = layer.values.get(table)
        if isinstance(said, dict):
            unnamed = said.get("name", unnamed)
        about = unnamed == name
        kept.append(
            layer if about else Layer(layer.source, {key: value for key, value in layer.values.items() if key != table})
        )
    return kept


def _one_above_the_other(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return len(one) != len(other) and one[:shorter] == other[:shorter]
