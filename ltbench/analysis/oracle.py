"""The oracle (Sec. 4.2): told which expert holds the true class, that expert answers. An upper bound, never ranked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import DataError
from ltbench.fuser import MemberLogits


@dataclass(frozen=True)
class OracleResult:
    """What the oracle answers.

    Attributes:
        predictions: int64[N], dataset class ids.
        chooses_among: member name -> among how many classes it chose, where a classifier has all of them to choose from:
            part of the oracle's lead comes from that.
    """

    predictions: np.ndarray
    chooses_among: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {"predictions": self.predictions.tolist(), "chooses_among": self.chooses_among}


def oracle(members: Sequence[MemberLogits], labels: Tensor) -> OracleResult:
    """The answer of the expert that covers each sample's true class, its reject logit ignored; ``labels`` int64[N].

    Members over all classes take no part: the oracle would have nothing to tell them.

    Raises:
        DataError: two experts cover one class, or none covers a sample's.
    """
    experts = [member for member in members if member.outside != "none"]
    predictions = torch.full_like(labels, -1)
    for expert in experts:
        mine = torch.isin(labels, expert.classes)
        if (predictions[mine] >= 0).any():
            raise DataError(f"the oracle needs disjoint experts; '{expert.name}' shares a class with another.")
        answers = expert.logits[mine, : len(expert.classes)].argmax(dim=1)
        predictions[mine] = expert.classes[answers]
    if (predictions < 0).any():
        raise DataError(f"the oracle needs an expert for every class; none covers {int(labels[predictions < 0][0])}.")
    return OracleResult(predictions.numpy(), {expert.name: len(expert.classes) for expert in experts})
