"""Logit-adjusted loss: by hand, its sign, what it is at tau 0 and 1, and what its minimum does for a balanced test set."""

import numpy as np
import pytest
import torch
from ltbench_zoo.balanced_softmax import BalancedSoftmax
from ltbench_zoo.logit_adjusted import LogitAdjusted
from torch.nn import functional as F

from .steps import COUNTS, drawn, knowing, softmax


def adjusted(tau: float, counts: list[int] = COUNTS) -> LogitAdjusted:
    return knowing(LogitAdjusted(LogitAdjusted.Config(tau=tau)), counts)


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.7])
def test_the_loss_is_equation_10(tau: float) -> None:
    logits, targets = drawn()
    pi = np.array(COUNTS) / sum(COUNTS)
    p = softmax(logits.numpy() + tau * np.log(pi))
    expected = -np.log(p[np.arange(len(targets)), targets.numpy()]).mean()
    assert np.isclose(float(adjusted(tau).loss(logits, targets)), expected)


def test_tau_0_is_cross_entropy_and_tau_1_balanced_softmax() -> None:
    logits, targets = drawn()
    assert torch.isclose(adjusted(0.0).loss(logits, targets), F.cross_entropy(logits, targets))
    assert torch.isclose(adjusted(1.0).loss(logits, targets), knowing(BalancedSoftmax()).loss(logits, targets))


def test_its_minimum_is_the_balanced_posterior() -> None:
    """On features that say nothing of the class the best logits are equal for all classes, where cross entropy has log pi.
    With the sign of the prior turned round they would be 2 log pi."""
    targets = torch.arange(3).repeat_interleave(torch.tensor([90, 9, 1]))
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")
    loss = adjusted(1.0, [90, 9, 1]).loss

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(logits.expand(100, 3), targets)
        value.backward()
        return value

    with torch.no_grad():
        logits.copy_(torch.tensor([1.0, -2.0, 0.5]))
    optimizer.step(closure)
    assert (logits - logits.mean()).abs().max() < 1e-4
