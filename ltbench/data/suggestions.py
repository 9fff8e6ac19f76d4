"""What a dataset may suggest of a run, from what it finds in its images: a layer of settings below every recipe. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Asked", "Suggestion"]


@dataclass(frozen=True)
class Asked:
    """What a dataset is told of the run for which it suggests settings.

    Attributes:
        settings: what recipes, files and options say, nested as in a recipe; defaults are not among them.
        optims: (method, key), say ``("experts", "optim")`` -> the default of each :class:`ltbench.training.optim.OptimConfig`
            in the settings of the methods that take part.
    """

    settings: Mapping[str, Any]
    optims: Mapping[tuple[str, str], Any]

    def says(self, *path: str) -> bool:
        """Whether something is said of a key, or of one in its table: ``says("augment", "size")``."""
        return self.said(*path) is not None

    def said(self, *path: str) -> Any:
        """What is said of a key; None where nothing is."""
        found: Any = self.settings
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


@dataclass(frozen=True)
class Suggestion:
    """Settings that go together, and why.

    Attributes:
        settings: nested as in a recipe: ``{"augment": {"size": 28}}``. Nothing of ``dataset``: its options were used already.
        reason: a clause that follows "as": ``the images are grey``.
    """

    settings: Mapping[str, Any]
    reason: str
