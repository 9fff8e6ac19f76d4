"""The classes of a dataset, as methods and fusers get them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.data.folds import fold_rule

__all__ = ["Classes", "classes_of"]


@dataclass(frozen=True)
class Classes:
    """The classes of the dataset.

    Attributes:
        names: C names.
        train_counts: int64[C], training images of each.
        folds: fold name -> int64 ids of its classes, ascending, under the run's fold rule.
    """

    names: list[str]
    train_counts: Tensor
    folds: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.names)


def classes_of(
    train_counts: Sequence[int] | Tensor, rule: str = "paper", names: Sequence[str] | None = None
) -> Classes:
    """Classes from ``train_counts`` int64[C], training images of each.

    Args:
        rule: fold rule, a name in :data:`ltbench.data.folds.FOLD_RULES`.
        names: C names; by default the ids.

    Raises:
        UsageError: unknown rule.
    """
    counts = torch.as_tensor(train_counts, dtype=torch.int64)
    folds = {name: torch.as_tensor(ids) for name, ids in fold_rule(rule).members(counts.numpy()).items()}
    return Classes([str(number) for number in range(len(counts))] if names is None else list(names), counts, folds)
