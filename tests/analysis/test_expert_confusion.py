"""Figure 4 on a handful of samples, by hand."""

import pytest
import torch

from ltbench.analysis.expert_confusion import expert_confusion
from ltbench.errors import DataError, UsageError
from ltbench.fuser import MemberLogits

TRAIN_COUNTS = [500, 100, 50, 5]  # many, many, medium, few


def expert(name: str, classes: list[int]) -> MemberLogits:
    return MemberLogits(name, "experts", torch.tensor(classes), "zero", torch.zeros(1, len(classes)))


EXPERTS = [expert("many", [0, 1]), expert("medium", [2]), expert("few", [3])]


def test_rows_are_folds_of_the_samples_and_columns_the_experts_that_answer() -> None:
    found = expert_confusion([0, 1, 2, 3, 2, 2, 3, 0], [0, 0, 1, 1, 2, 2, 3, 3], EXPERTS, TRAIN_COUNTS)
    assert found.to_dict() == {
        "folds": ["many", "medium", "few"],
        "experts": ["many", "medium", "few"],
        "percent": [[50.0, 25.0, 25.0], [0.0, 100.0, 0.0], [50.0, 0.0, 50.0]],
    }


def test_the_fold_rule_decides_the_rows() -> None:
    found = expert_confusion([0, 2], [1, 2], EXPERTS, TRAIN_COUNTS, rule="kang")
    assert found.folds == ["medium"]  # exactly 100 images is medium there, and no other fold has a sample
    assert found.percent == [[50.0, 50.0, 0.0]]


def test_a_full_member_is_no_expert() -> None:
    full = MemberLogits("baseline", "baseline", torch.arange(4), "none", torch.zeros(1, 4))
    assert expert_confusion([0], [0], [full, *EXPERTS], TRAIN_COUNTS).experts == ["many", "medium", "few"]
    with pytest.raises(DataError, match="no expert covers class 0"):
        expert_confusion([0], [0], [full], TRAIN_COUNTS)


def test_input_that_cannot_be_right() -> None:
    with pytest.raises(DataError, match="2 predictions for 1 labels"):
        expert_confusion([0, 1], [0], EXPERTS, TRAIN_COUNTS)
    with pytest.raises(UsageError, match="unknown fold rule 'papr'"):
        expert_confusion([0], [0], EXPERTS, TRAIN_COUNTS, rule="papr")
