"""Range loss: both terms by loops, against its known slips."""

from itertools import combinations

import numpy as np
import pytest
import torch
from ltbench_zoo.range import Range, inter, intra
from torch.nn import functional as F

from .steps import drawn, knowing


def distances(points: np.ndarray) -> list[float]:
    return sorted((float(np.linalg.norm(a - b)) for a, b in combinations(points, 2)), reverse=True)


@pytest.mark.parametrize("largest", [1, 2, 3])
def test_within_classes_it_is_the_harmonic_mean_of_the_largest_distances(largest: int) -> None:
    """Of a full matrix of distances the two largest are one pair, seen twice: the second largest would never count."""
    features, _ = drawn(samples=12)
    targets = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3])
    ranges = []
    for target in range(3):
        found = distances(features[targets == target].numpy())[:largest]
        ranges.append(len(found) / sum(1 / distance for distance in found))
    assert np.isclose(float(intra(features, targets, largest)), np.mean(ranges))


@pytest.mark.parametrize("margin", [0.1, 2.0, 9.0])
def test_between_classes_it_is_the_distance_of_the_nearest_centres(margin: float) -> None:
    """A minimum that sees a centre's distance of 0 to itself would cost the whole margin, always."""
    features, targets = drawn(samples=20)
    centres = np.array([features[targets == target].numpy().mean(axis=0) for target in targets.unique()])
    assert np.isclose(float(inter(features, targets, margin)), max(0, margin - distances(centres)[-1]))


def test_batches_of_single_samples_or_one_class_cost_nothing() -> None:
    features = torch.randn(3, 2, requires_grad=True)
    assert float(intra(features, torch.tensor([0, 1, 2]), 2)) == 0
    assert float(inter(features, torch.tensor([1, 1, 1]), 5.0)) == 0


def test_samples_that_coincide_leave_a_finite_gradient() -> None:
    features = torch.zeros(4, 2, requires_grad=True)
    (intra(features, torch.tensor([0, 0, 1, 1]), 2) + inter(features, torch.tensor([0, 0, 1, 1]), 1.0)).backward()
    assert torch.isfinite(features.grad).all()


def test_it_stands_beside_cross_entropy() -> None:
    logits, targets = drawn()
    features, _ = drawn(classes=3)
    method = knowing(Range(Range.Config(weight=0.3, intra=0.2, inter=0.7, margin=4.0)))
    terms = 0.2 * intra(features, targets, 2) + 0.7 * inter(features, targets, 4.0)
    assert torch.isclose(method.loss(logits, targets, features), F.cross_entropy(logits, targets) + 0.3 * terms)
