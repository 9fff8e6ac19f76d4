"""Ensembles with one method left out (Sec. 4.4, Figure 3), beside each method alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ltbench.errors import DataError
from ltbench.fuser import Fuser, MemberLogits
from ltbench.registry.manager import plugin_code
from ltbench.statistics.metrics import fold_accuracy

Accuracy = dict[str, float]
"""Top-1 accuracy in percent: ``many``, ``medium``, ``few``, ``all``."""


@dataclass(frozen=True)
class LeaveOneOut:
    """Accuracies of ensembles of methods, all with the same fuser.

    Attributes:
        everything: all methods together.
        alone: method -> its own members only (the base models of Figure 3).
        without: method -> all methods but this one (the take-one-out ensembles).
    """

    everything: Accuracy
    alone: dict[str, Accuracy]
    without: dict[str, Accuracy]

    def to_dict(self) -> dict[str, Any]:
        return {"everything": self.everything, "alone": self.alone, "without": self.without}


def leave_one_out(
    make_fuser: Callable[[], Fuser],
    val: Sequence[MemberLogits],
    val_labels: Tensor,
    test: Sequence[MemberLogits],
    test_labels: Tensor,
    train_counts: Any,
    rule: str = "paper",
) -> LeaveOneOut:
    """Fit a new fuser on the validation split for each selection of methods, and measure it on the test split.

    ``val`` and ``test`` are the same members in the same order; the methods are those that they name. The paper uses soft
    voting here, which learns nothing.

    Raises:
        DataError: fewer than two methods, or a selection that does not cover every class.
    """
    methods = list(dict.fromkeys(member.method for member in val))
    if len(methods) < 2:
        raise DataError(f"leaving a method out needs two of them; these members all belong to '{methods[0]}'.")

    def accuracy_of(kept: Sequence[str]) -> Accuracy:
        fuser = make_fuser()
        with plugin_code("fuser", type(fuser), "fit or log_posterior"):
            fuser.fit([member for member in val if member.method in kept], val_labels)
            log_q = fuser.log_posterior([member for member in test if member.method in kept])
        return fold_accuracy(log_q.argmax(dim=1), test_labels, train_counts, rule)

    return LeaveOneOut(
        everything=accuracy_of(methods),
        alone={method: accuracy_of([method]) for method in methods},
        without={method: accuracy_of([other for other in methods if other != method]) for method in methods},
    )
