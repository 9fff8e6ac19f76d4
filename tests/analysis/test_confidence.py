"""Figure 5 on a handful of samples, by hand."""

import pytest
import torch

from ltbench.analysis.confidence import confidence_histograms
from ltbench.errors import DataError
from ltbench.fuser import MemberLogits


def expert(name: str, classes: list[int], probabilities: list[list[float]]) -> MemberLogits:
    return MemberLogits(name, "experts", torch.tensor(classes), "reject", torch.tensor(probabilities).log())


LABELS = [0, 1, 1, 0, 2]
MANY = expert(
    "many",
    [0, 1],
    [
        [0.90, 0.05, 0.05],  # right
        [0.20, 0.60, 0.20],  # right
        [0.60, 0.30, 0.10],  # wrong class
        [0.40, 0.10, 0.50],  # would be right, but refuses
        [0.90, 0.05, 0.05],  # not one of its classes
    ],
)
FEW = expert("few", [2], [[0.05, 0.95], [0.3, 0.7], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])


def test_histograms_of_the_samples_that_the_first_expert_classifies_correctly() -> None:
    found = confidence_histograms(MANY, FEW, LABELS, bins=4)
    assert found.to_dict() == {
        "edges": [0.0, 0.25, 0.5, 0.75, 1.0],
        "counts": {"many": [0, 0, 1, 1], "few": [1, 1, 0, 0]},
        "mean": {"many": pytest.approx(0.75), "few": pytest.approx(0.175)},
        "samples": 2,
        "of": 4,
    }


def test_certain_experts_fall_into_the_last_bin() -> None:
    certain = MemberLogits("certain", "experts", torch.tensor([0]), "reject", torch.tensor([[1e4, -1e4]]))
    silent = MemberLogits("silent", "experts", torch.tensor([1]), "reject", torch.tensor([[-1e4, 1e4]]))
    found = confidence_histograms(certain, silent, [0], bins=2)
    assert found.counts == {"certain": [0, 1], "silent": [1, 0]}


def test_input_that_gives_no_histogram() -> None:
    with pytest.raises(DataError, match="'many' classifies none of its 1 samples correctly"):
        confidence_histograms(MANY.take(slice(2, 3)), FEW.take(slice(2, 3)), [1])
    with pytest.raises(DataError, match="there are 4 labels"):
        confidence_histograms(MANY, FEW, LABELS[:4])
