"""SADE: the three losses and the inverse prior by hand; which way each expert leans."""

import numpy as np
import pytest
import torch
from ltbench_zoo.sade import SADE, inverse
from torch.nn import functional as F

from .fitted import CHOSEN, N, answers, fitted, log_softmax


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_the_three_losses_by_hand(tau: float) -> None:
    method, context, members = fitted(SADE, own_blocks=1, tau=tau)
    step = context.step(members, CHOSEN)
    logits, y, rows = answers(step)
    pi, inverse_pi = N / N.sum(), N[::-1] / N.sum()
    with torch.no_grad():
        found = method.objective(step)
    assert list(found) == ["expert1", "expert2", "expert3"]
    for loss, z, factor in zip(found.values(), logits, (np.ones(4), pi, pi / inverse_pi**tau), strict=True):
        odds = np.exp(z) * factor
        assert float(loss) == pytest.approx(-np.log(odds[rows, y] / odds.sum(axis=1)).mean(), rel=1e-4)


def test_the_inverse_prior_changes_the_ranks_and_not_the_numbers() -> None:
    """Where classes are not sorted by count, turning the list round is another thing."""
    counts = torch.tensor([10, 500, 5, 100])
    assert inverse(counts).tolist() == [100, 5, 500, 10]


def test_each_expert_leans_further_to_rare_classes_than_the_one_before() -> None:
    """The sign of the log prior: turned round, as in a known copy of it, the third expert is one more for frequent classes.

    What a loss makes dear in training is answered more readily: at equal logits the rare class is to be pushed up.
    """
    method, _, _ = fitted(SADE, own_blocks=1)
    rare, frequent = (
        [float(F.cross_entropy(shift[None], torch.tensor([target]))) for shift in method.shifts()] for target in (3, 0)
    )
    assert rare == sorted(rare)
    assert frequent == sorted(frequent, reverse=True)
    assert rare[0] == frequent[0] == pytest.approx(np.log(4))


def test_the_classifiers_answer_without_the_prior() -> None:
    _, context, members = fitted(SADE, own_blocks=1)
    step = context.step(members, CHOSEN)
    for member in members:
        assert torch.equal(member.module(step.images), step.outputs[member.name].logits)


def test_a_class_without_image_leaves_the_losses_finite() -> None:
    method, context, members = fitted(SADE, own_blocks=1)
    step = context.step(members, CHOSEN)
    context.classes.train_counts[3] = 0
    assert all(torch.isfinite(loss) for loss in method.objective(step).values())
    assert np.isfinite(log_softmax(answers(step)[0])).all()
