"""The oracle on a handful of samples, by hand."""

import pytest
import torch

from ltbench.analysis.oracle import oracle
from ltbench.errors import DataError
from ltbench.fuser import MemberLogits

MANY = MemberLogits(
    "experts/many",
    "experts",
    torch.tensor([0, 2]),
    "reject",
    torch.tensor([[1.0, 2.0, 9.0], [3.0, 0.0, 0.0], [0.0, 5.0, 0.0], [1.0, 0.0, 0.0]]),
)
FEW = MemberLogits(
    "experts/few",
    "experts",
    torch.tensor([1, 3, 4]),
    "zero",
    torch.tensor([[0.0, 0.0, 9.0], [0.0, 7.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
)
FULL = MemberLogits("baseline", "baseline", torch.arange(5), "none", torch.zeros(4, 5))


def test_the_expert_of_the_true_class_answers_without_its_reject_logit() -> None:
    found = oracle([MANY, FEW], torch.tensor([2, 3, 1, 0]))
    assert found.predictions.tolist() == [2, 3, 1, 0]
    assert oracle([MANY, FEW], torch.tensor([0, 0, 0, 4])).predictions.tolist() == [2, 0, 2, 4]


def test_it_says_among_how_many_classes_it_chose() -> None:
    found = oracle([MANY, FEW], torch.tensor([2, 3, 1, 0]))
    assert found.to_dict() == {
        "predictions": [2, 3, 1, 0],
        "chooses_among": {"experts/many": 2, "experts/few": 3},
    }


def test_full_members_take_no_part() -> None:
    labels = torch.tensor([2, 3, 1, 0])
    assert oracle([FULL, MANY, FEW], labels).to_dict() == oracle([MANY, FEW], labels).to_dict()


def test_experts_that_overlap_or_leave_a_label_out_are_refused() -> None:
    again = MemberLogits("others/many", "others", MANY.classes, "reject", MANY.logits)
    with pytest.raises(DataError, match="'others/many' shares a class with another"):
        oracle([MANY, again, FEW], torch.tensor([0, 1, 2, 3]))
    with pytest.raises(DataError, match="none covers 3"):
        oracle([MANY], torch.tensor([0, 2, 3, 0]))
