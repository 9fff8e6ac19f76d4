"""Short labels that tell rows of the same methods and fuser apart: the settings in which they differ."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ltbench.common.canonical import canonical_json

_MISSING = "unset"


def distinguish(rows: Sequence[tuple[Hashable, Mapping[str, Any]]]) -> list[str]:
    """A label for each (kind, config): the settings that are not equal among the rows of its kind; empty where all are.

    A setting goes by its last key, ``ood=reject_class``, or by as many keys as tell it from another one that differs.
    ``seed`` and ``dataset.root`` make no difference.
    """
    flat = [_leaves(config) for _, config in rows]
    of_kind: dict[Hashable, list[dict[tuple[str, ...], str]]] = {}
    for (kind, _), leaves in zip(rows, flat, strict=True):
        of_kind.setdefault(kind, []).append(leaves)
    differing = {kind: _differing(same_kind) for kind, same_kind in of_kind.items()}
    return [
        ", ".join(f"{name}={own.get(key, _MISSING)}" for key, name in differing[kind].items())
        for (kind, _), own in zip(rows, flat, strict=True)
    ]


def _differing(same_kind: Sequence[Mapping[tuple[str, ...], str]]) -> dict[tuple[str, ...], str]:
    """The settings that are not equal among these rows -> the name each goes by."""
    keys = sorted({key for leaves in same_kind for key in leaves})
    found = [key for key in keys if len({leaves.get(key, _MISSING) for leaves in same_kind}) > 1]
    return {key: _shortest(key, found) for key in found}


def _leaves(config: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for key, value in config.items():
        path = (*above, key)
        if path in (("seed",), ("dataset", "root")):
            continue
        if isinstance(value, Mapping) and value:
            found |= _leaves(value, path)
        else:
            found[path] = value if isinstance(value, str) else canonical_json(value)
    return found


def _shortest(key: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> str:
    """The fewest last keys that end no other path."""
    for length in range(1, len(key)):
        ending = key[-length:]
        if sum(other[-length:] == ending for other in others) == 1:
            return ".".join(ending)
    return ".".join(key)
