"""LDAM-DRW: margins, loss and weights by hand; the cosine head; when the weights begin."""

import numpy as np
import pytest
import torch
from ltbench_zoo.heads import CosineHead
from ltbench_zoo.ldam_drw import LDAM, margins_of
from ltbench_zoo.weights import class_balanced

from .steps import COUNTS, drawn, knowing, softmax, step_of


def cosines() -> tuple[torch.Tensor, torch.Tensor]:
    logits, targets = drawn(samples=10, scale=1.0)
    return 30 * logits.tanh(), targets


def by_hand(logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    n = np.array(COUNTS, dtype=float)
    margins = n**-0.25 * 0.5 / (n**-0.25).max()
    z, y, rows = logits.numpy().copy(), targets.numpy(), np.arange(len(targets))
    z[rows, y] -= 30 * margins[y]
    return -np.log(softmax(z)[rows, y])


def weights_by_hand(beta: float = 0.9999) -> np.ndarray:
    weights = np.array([(1 - beta) / (1 - beta**n) for n in COUNTS])
    return weights / weights.sum() * len(weights)


def test_margins_fall_with_the_fourth_root_of_the_counts() -> None:
    margins = margins_of(torch.tensor(COUNTS), 0.5)
    assert margins.max() == 0.5 == margins[3]
    assert margins[0] / margins[3] == pytest.approx((5 / 500) ** 0.25)


def test_class_weights_are_those_of_the_effective_number() -> None:
    assert np.allclose(class_balanced(torch.tensor(COUNTS), 0.9999), weights_by_hand(), rtol=1e-5)
    assert torch.allclose(class_balanced(torch.tensor(COUNTS), 0.0), torch.ones(4))
    assert class_balanced(torch.tensor([5, 0, 5]), 0.9).tolist() == [1.5, 0.0, 1.5]


def test_the_loss_is_equation_13() -> None:
    logits, targets = cosines()
    assert np.allclose(knowing(LDAM()).losses(logits, targets), by_hand(logits, targets), rtol=1e-5)


def test_the_margin_makes_the_own_class_harder() -> None:
    """A margin added to, not taken from, the own class's cosine would reward what it shall punish."""
    with_margin, without = (knowing(LDAM(LDAM.Config(max_margin=margin))) for margin in (0.5, 0.0))
    logits, targets = cosines()
    assert (with_margin.losses(logits, targets) > without.losses(logits, targets)).all()


@pytest.mark.parametrize(("epoch", "weighted"), [(0, False), (7, False), (8, True), (9, True)])
def test_classes_are_weighted_from_four_fifths_of_the_epochs_on(epoch: int, weighted: bool) -> None:
    logits, targets = cosines()
    weights = weights_by_hand()[targets.numpy()] if weighted else np.ones(len(targets))
    expected = (weights * by_hand(logits, targets)).sum() / weights.sum()
    assert float(knowing(LDAM()).objective(step_of(logits, targets, epoch=epoch))) == pytest.approx(expected, rel=1e-5)


def test_the_head_is_a_cosine_classifier_whatever_the_settings() -> None:
    """Margins of up to 0.5 and a scale of 30 are made for cosines: on a plain linear head the training collapses."""
    torch.manual_seed(0)
    head = LDAM(LDAM.Config(scale=7.0)).head(6, 4)
    assert isinstance(head, CosineHead)
    features = 1000 * torch.randn(50, 6)
    f, w = features.numpy(), head.weight.detach().numpy()
    expected = 7 * f @ w.T / np.linalg.norm(f, axis=1)[:, None] / np.linalg.norm(w, axis=1)
    assert np.allclose(head(features).detach(), expected, atol=1e-4)
    assert head(features).abs().max() <= 7.001
    assert not head.scale.requires_grad
