"""Focal loss: value and gradient by hand; the factor is each sample's own."""

import numpy as np
import pytest
import torch
from ltbench_zoo.focal import Focal
from torch.nn import functional as F

from .steps import drawn, knowing, numeric_gradient, softmax


def focal(gamma: float) -> Focal:
    return knowing(Focal(Focal.Config(gamma=gamma)))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_the_loss_is_equation_4(gamma: float) -> None:
    logits, targets = drawn()
    p = softmax(logits)[np.arange(len(targets)), targets.numpy()]
    assert np.isclose(float(focal(gamma).loss(logits, targets)), -((1 - p) ** gamma * np.log(p)).mean())


def test_gamma_0_is_cross_entropy() -> None:
    logits, targets = drawn()
    assert torch.isclose(focal(0.0).loss(logits, targets), F.cross_entropy(logits, targets))


def test_the_factor_is_each_samples_own_and_not_that_of_the_mean_loss() -> None:
    """Known from copies of it: (1 - exp(-mean loss))^gamma times the mean loss."""
    logits, targets = torch.tensor([[9.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    loss = focal(2.0).loss
    assert torch.isclose(loss(logits, targets), (loss(logits[:1], targets[:1]) + loss(logits[1:], targets[1:])) / 2)
    mean = F.cross_entropy(logits, targets)
    assert not torch.isclose(loss(logits, targets), (1 - (-mean).exp()) ** 2 * mean, rtol=0.05)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_factor_has_a_gradient_too(gamma: float) -> None:
    logits, targets = drawn(samples=3)
    loss = focal(gamma).loss
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, targets), logits)
    assert np.allclose(gradient, numeric_gradient(lambda z: loss(z, targets), logits.detach()), atol=1e-7)


def test_certainty_leaves_no_nan() -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    focal(0.5).loss(logits, torch.tensor([0])).backward()
    assert torch.isfinite(logits.grad).all()
