"""Why a stage is not in the cache: in what it differs from the one most like it that is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ltbench.results.stage import Stage

SHOWN = 3
"""Differences that are put into words."""


@dataclass(frozen=True)
class Difference:
    """One input of a stage's key that differs; None: it has none, there or here.

    Attributes:
        what: a setting (``baseline.optim.lr``), a module (``ltbench.data.augmentation.augment``), a required stage, ...
        kind: ``setting``, ``code`` or ``stage``.
    """

    what: str
    kind: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.kind == "setting":
            return f"{self.what} {_shown(self.old)} -> {_shown(self.new)}"
        if self.old is None or self.new is None:
            return f"{self.what} {'counts now' if self.old is None else 'counts no more'}"
        return f"{self.what} changed" if self.kind == "code" else f"another stage of {self.what}"


@dataclass(frozen=True)
class Reason:
    """The closest stage of the same method, and what is different; no stage: there is none in the cache.

    Attributes:
        stage: the name of its folder.
        created: when it was trained.
    """

    stage: str = ""
    created: str = ""
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        if not self.stage:
            return "no stage of this method in the cache"
        if not self.differences:
            return f"its files, in {self.stage}, are not those of a whole stage"
        shown = [str(difference) for difference in self.differences[:SHOWN]]
        if more := len(self.differences) - SHOWN:
            shown += [f"and {more} more"] if more > 0 else []
        return f"{', '.join(shown)} since {self.stage} of {self.created.partition('T')[0]}"

    def plain(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "text": str(self),
            "closest": self.stage or None,
            "differences": [vars(difference) for difference in self.differences],
        }


def reason(stage: Stage) -> Reason:
    """Why this stage, which is not there, has to be trained."""
    wanted = _inputs(stage.method, stage.inputs)
    found = []
    for path in stage.folder.parent.glob("*/stage.json"):
        slug, _, key = path.parent.name.rpartition("-")
        if slug != stage.folder.name.rpartition("-")[0] or not key.isalnum():  # not a draft, nor what was set aside
            continue
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            created, inputs = report["created"], _inputs(stage.method, report["inputs"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a damaged one is told of by whoever needs it
        found.append(Reason(path.parent.name, created, tuple(_differences(inputs, wanted))))
    newest_first = sorted(found, key=lambda one: one.created, reverse=True)
    return min(newest_first, key=lambda one: len(one.differences), default=Reason())


def _inputs(method: str, inputs: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """(kind, what) -> value."""
    found: dict[tuple[str, str], Any] = {("code", name): value for name, value in inputs.get("code", {}).items()}
    found |= {("stage", name): key for name, key in inputs.get("requires", {}).items()}
    settings = {key: value for key, value in inputs.items() if key not in ("code", "requires", "config")}
    return found | {("setting", what): value for what, value in _leaves({**settings, method: inputs["config"]}, "")}


def _leaves(values: Mapping[str, Any], above: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += _leaves(value, f"{above}{key}.") if isinstance(value, Mapping) and value else [(above + key, value)]
    return found


def _differences(old: Mapping[tuple[str, str], Any], new: Mapping[tuple[str, str], Any]) -> list[Difference]:
    """Settings first, then code, then required stages; by name."""
    order = {"setting": 0, "code": 1, "stage": 2}
    changed = [entry for entry in {**old, **new} if old.get(entry) != new.get(entry)]
    return [
        Difference(what, kind, old.get((kind, what)), new.get((kind, what)))
        for kind, what in sorted(changed, key=lambda entry: (order[entry[0]], entry[1]))
    ]


def _shown(value: Any) -> str:
    """Short: of a hash its first digits."""
    text = value if isinstance(value, str) else json.dumps(value)
    is_hash = len(text) == 64 and not set(text) - set("0123456789abcdef")
    return text[:8] if is_hash else text if len(text) <= 40 else text[:39] + "…"
