"""Lifted structure loss: by loops over Eq. 4, its gradient, batches without pairs."""

import numpy as np
import torch
from ltbench_zoo.lifted import Lifted, lifted_structure
from torch.nn import functional as F

from ltbench.data.samplers import ClassAwareSampler

from .steps import drawn, knowing, numeric_gradient


def by_loops(features: np.ndarray, targets: np.ndarray, margin: float) -> float:
    def distance(a: int, b: int) -> float:
        return float(np.sqrt(((features[a] - features[b]) ** 2).sum()))

    total, pairs, everyone = 0.0, 0, range(len(targets))
    for i in everyone:
        for j in range(i + 1, len(targets)):
            if targets[i] == targets[j]:
                others = [k for k in everyone if targets[k] != targets[i]]
                pushed = sum(np.exp(margin - distance(i, k)) + np.exp(margin - distance(j, k)) for k in others)
                total, pairs = total + max(0.0, np.log(pushed) + distance(i, j)) ** 2, pairs + 1
    return total / (2 * pairs)


def test_it_is_equation_4() -> None:
    features, targets = drawn(samples=14)
    for margin in (0.0, 1.0, 3.0):
        found = float(lifted_structure(features, targets, margin))
        assert np.isclose(found, by_loops(features.numpy(), targets.numpy(), margin))


def test_every_pair_counts_once_and_no_sample_with_itself() -> None:
    """A pair of a sample with itself has distance 0, and would halve the loss of a batch of pairs."""
    features = torch.tensor([[0.0], [1.0], [5.0]])
    pushed = np.log(np.exp(1 - 5.0) + np.exp(1 - 4.0))
    found = lifted_structure(features, torch.tensor([0, 0, 1]), 1.0)
    assert np.isclose(float(found), max(0, 1 + pushed) ** 2 / 2)


def test_its_gradient_is_finite_where_samples_coincide() -> None:
    features, targets = drawn(samples=8)
    features[1] = features[0]
    targets[:2] = 0
    features.requires_grad_()
    lifted_structure(features, targets, 1.0).backward()
    assert torch.isfinite(features.grad).all()
    apart, targets = drawn(samples=8)
    apart.requires_grad_()
    (gradient,) = torch.autograd.grad(lifted_structure(apart, targets, 1.0), apart)
    expected = numeric_gradient(lambda x: lifted_structure(x, targets, 1.0), apart.detach())
    assert np.allclose(gradient, expected, atol=1e-6)


def test_a_batch_without_pairs_or_without_negatives_costs_nothing() -> None:
    features = torch.randn(3, 2, requires_grad=True)
    for targets in (torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0])):
        loss = lifted_structure(features, targets, 1.0)
        (gradient,) = torch.autograd.grad(loss, features)
        assert loss.item() == 0
        assert torch.equal(gradient, torch.zeros(3, 2))


def test_it_stands_beside_cross_entropy_on_class_aware_batches() -> None:
    logits, targets = drawn()
    features, _ = drawn(classes=3)
    method = knowing(Lifted(Lifted.Config(weight=0.3)))
    expected = F.cross_entropy(logits, targets) + 0.3 * lifted_structure(features, targets, 1.0)
    assert torch.isclose(method.loss(logits, targets, features), expected)
    method.context.train_split = type("Split", (), {"labels": torch.arange(4).repeat(9)})()  # type: ignore[misc]
    assert isinstance(method.sampler(method.context), ClassAwareSampler)
