"""What a dataset says of itself when ``ltbench data`` asks: whether it is all there, and how many images a class has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = ["CheckReport", "Counts"]


class Counts(NamedTuple):
    """Images of each class.

    Attributes:
        by_split: split -> int64[C].
        source: what they were counted in, in words.
    """

    by_split: dict[str, np.ndarray]
    source: str


@dataclass(frozen=True)
class CheckReport:
    """Whether a dataset is whole.

    Attributes:
        lines: what was found, for a reader.
        found: the same in types that JSON has.
        wrong: one sentence without a full stop on what is wrong; empty: nothing is.
    """

    lines: Sequence[str]
    found: dict[str, Any] = field(default_factory=dict)
    wrong: str = ""
