"""Fold rules: which classes are many-, medium- and few-shot. Named data, stored in every record, never constants in code."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ltbench.errors import UsageError, did_you_mean

__all__ = ["FOLDS", "FOLD_RULES", "FoldRule", "fold_rule"]

FOLDS = ("many", "medium", "few")
"""The folds of every rule."""


@dataclass(frozen=True)
class FoldRule:
    """Bounds on the number of training images n: many when n >= ``many_from``, few when n <= ``few_to``, else medium.

    Attributes:
        name: as it stands in records and on the command line.
        many_from: smallest n of a many-shot class.
        few_to: largest n of a few-shot class.
        text: the rule in the words of its source.
    """

    name: str
    many_from: int
    few_to: int
    text: str

    def assign(self, train_counts: Sequence[int] | np.ndarray) -> np.ndarray:
        """Fold of each class from ``train_counts`` int[C]: int64[C], 0 many, 1 medium, 2 few (positions in :data:`FOLDS`)."""
        counts = np.asarray(train_counts)
        return np.where(counts >= self.many_from, 0, np.where(counts <= self.few_to, 2, 1)).astype(np.int64)

    def members(self, train_counts: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        """Class ids of each fold from ``train_counts`` int[C], int64, ascending; a fold without classes has an empty array."""
        folds = self.assign(train_counts)
        return {name: np.flatnonzero(folds == position) for position, name in enumerate(FOLDS)}


FOLD_RULES: dict[str, FoldRule] = {
    rule.name: rule
    for rule in (
        FoldRule("paper", 100, 19, ">= 100, 20 to 99, < 20 (Sharma et al. 2020, Table 1)"),
        FoldRule("kang", 101, 19, "> 100, 20 to 100, < 20 (Kang et al. 2020)"),
        FoldRule("oltr", 100, 20, ">= 100, 21 to 99, <= 20 (Liu et al. 2019, published code)"),
    )
}
"""Name -> rule: ``paper``, ``kang``, ``oltr``."""


def fold_rule(name: str) -> FoldRule:
    """The rule of that name. Raises UsageError for an unknown one."""
    if name not in FOLD_RULES:
        raise UsageError(f"unknown fold rule '{name}'; known: {', '.join(FOLD_RULES)}.{did_you_mean(name, FOLD_RULES)}")
    return FOLD_RULES[name]


COLUMNS = (*FOLDS, "all")
"""The folds, and all classes together: the columns of a table of accuracies."""
