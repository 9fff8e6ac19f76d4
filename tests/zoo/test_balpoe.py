"""BalPoE: losses by hand on mixed images; mixup is no option; the mean of the logits is balanced."""

import numpy as np
import pytest
import torch
from ltbench_zoo.balpoe import BalPoE
from pydantic import ValidationError

from ltbench.method import MixConfig
from ltbench.training.mixing import Mixed

from .fitted import CHOSEN, COUNTS, N, answers, fitted, log_softmax

TAUS = (0.0, 1.25, 2.5)


@pytest.mark.parametrize("lam", [1.0, 0.7])
def test_the_loss_by_hand(lam: float) -> None:
    method, context, members = fitted(BalPoE, own_blocks=1, taus=TAUS)
    partner = torch.arange(len(CHOSEN)) ^ 1
    step = context.step(members, CHOSEN, mixed=Mixed(lam, partner))
    logits, y, rows = answers(step)
    expected = []
    for z, tau in zip(logits, TAUS, strict=True):
        log_p = log_softmax(z + tau * np.log(N / N.sum()))
        expected.append(-(lam * log_p[rows, y] + (1 - lam) * log_p[rows, y[partner.numpy()]]).mean())
    with torch.no_grad():
        found = method.objective(step)
    assert [float(found[f"expert{number}"]) for number in (1, 2, 3)] == pytest.approx(expected, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(np.mean(expected), rel=1e-4)


def test_mixup_is_not_optional() -> None:
    """Without it the experts are not calibrated, and their product is biased towards what they overrate."""
    _, context, _ = fitted(BalPoE, own_blocks=1)
    assert context.trained[0]["mixing"] == MixConfig(mixup=0.4, prob=1)
    _, context, _ = fitted(BalPoE, own_blocks=1, alpha=0.3)
    assert context.trained[0]["mixing"] == MixConfig(mixup=0.3)
    with pytest.raises(ValidationError):
        BalPoE.Config(alpha=0)


def test_an_expert_for_each_tau() -> None:
    _, _, members = fitted(BalPoE, own_blocks=1, taus=[0.0, 2.0])
    assert [member.name for member in members] == ["expert1", "expert2"]
    with pytest.raises(ValidationError):
        BalPoE.Config(taus=())


def test_the_mean_of_perfect_experts_answers_without_the_prior() -> None:
    """An expert that minimises its loss answers log p(x | y) + (1 - tau) log pi: of taus that are 1 on average, the mean has no
    prior left. With the sign turned round it would have it twice."""
    method, _, _ = fitted(BalPoE, own_blocks=1)
    log_pi = np.log(np.array(COUNTS) / sum(COUNTS))
    likelihood = np.random.default_rng(0).normal(size=(5, 4))
    experts = [likelihood + log_pi - shift.numpy() for shift in method.shifts()]
    assert np.allclose(log_softmax(np.mean(experts, axis=0)), log_softmax(likelihood), atol=1e-5)
