"""Expert confusion (Sec. 4.6, Figure 4): which expert classifies the test samples of each fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltbench.data.folds import fold_rule
from ltbench.errors import DataError
from ltbench.fuser import MemberLogits
from ltbench.posterior import expert_of_class


@dataclass(frozen=True)
class ExpertConfusion:
    """``percent[i][j]``: share of fold ``folds[i]``'s test samples whose predicted class belongs to expert ``experts[j]``.

    Rows sum to 100. A fold without samples has no row.
    """

    folds: list[str]
    experts: list[str]
    percent: list[list[float]]

    def to_dict(self) -> dict[str, Any]:
        return {"folds": self.folds, "experts": self.experts, "percent": self.percent}


def expert_confusion(
    predictions: Any, labels: Any, members: Sequence[MemberLogits], train_counts: Any, rule: str = "paper"
) -> ExpertConfusion:
    """Row = fold of the test sample, column = the expert that classified it: the one that holds the predicted class.

    Args:
        predictions: int[N], predicted class ids; in the paper, by soft voting over the experts.
        labels: int[N], true class ids.
        members: the experts, their subsets disjoint; full members among them are left out.
        train_counts: int[C], training images of each class; decides the folds.
        rule: a name in :data:`ltbench.data.folds.FOLD_RULES`.

    Raises:
        DataError: there are no experts, their subsets overlap or leave a class out, or the lists differ in length.
        UsageError: unknown rule.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim != 1:
        raise DataError(
            f"{len(predictions)} predictions for {len(labels)} labels: one of each for every sample is needed."
        )
    experts = [member for member in members if member.outside != "none"]
    expert = expert_of_class(experts, len(train_counts)).numpy()[predictions]
    counts = {
        name: np.bincount(expert[np.isin(labels, classes)], minlength=len(experts))
        for name, classes in fold_rule(rule).members(train_counts).items()
    }
    percent = {name: 100.0 * row / row.sum() for name, row in counts.items() if row.sum()}
    return ExpertConfusion(
        folds=list(percent),
        experts=[member.name for member in experts],
        percent=[row.tolist() for row in percent.values()],
    )
