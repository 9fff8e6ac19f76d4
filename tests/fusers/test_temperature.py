"""Temperatures against scipy's optimum of each member's own cross entropy."""

import numpy as np
import pytest
import torch
from ltbench_fusers.soft_voting import SoftVoting
from ltbench_fusers.temperature import Temperature
from scipy.optimize import minimize

from ltbench.fuser import MemberLogits, Outside

from .member_strategies import Case, random_case, softmax


def best_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    def loss(beta: np.ndarray) -> float:
        return float(-np.log(softmax(beta[0] * logits)[np.arange(len(targets)), targets]).mean())

    return 1 / float(minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14}).x[0])


@pytest.mark.parametrize("outside", ["reject", "zero"])
def test_each_member_has_the_temperature_of_its_own_optimum(outside: Outside) -> None:
    subsets: list[tuple[list[int], Outside]] = [([0, 2], outside), ([1, 3], outside), ([0, 1, 2, 3], "none")]
    val, test = (random_case(seed, subsets, samples=80, num_classes=4) for seed in (1, 2))
    temperatures = Temperature(4).fit(val.members, val.labels).state()["temperatures"]
    for member, ids in zip(val.members, val.class_ids, strict=True):
        labels = val.labels.numpy()
        held = np.isin(labels, ids)
        rows = np.ones_like(held) if member.outside == "reject" else held
        targets = np.where(held, np.searchsorted(ids, labels), len(ids))[rows]
        expected = best_temperature(member.logits.numpy()[rows].astype(np.float64), targets)
        assert temperatures[member.name] == pytest.approx(expected, rel=1e-4)

    cooled = [
        MemberLogits(m.name, m.method, m.classes, m.outside, m.logits / temperatures[m.name]) for m in test.members
    ]
    q = Temperature(4).fit(val.members, val.labels).log_posterior(test.members)
    assert torch.allclose(q.exp(), SoftVoting(4).log_posterior(cooled).exp(), atol=1e-6)


def test_logits_of_another_scale_are_put_on_the_same_one() -> None:
    case = random_case(3, [([0, 1, 2], "none")], samples=90, num_classes=3)
    one = case.members[0]
    hot = Case([MemberLogits(one.name, one.method, one.classes, "none", 50 * one.logits)], 3, case.labels)
    q, q_hot = (Temperature(3).fit(c.members, c.labels).log_posterior(c.members).exp() for c in (case, hot))
    assert torch.allclose(q, q_hot, atol=1e-4)


def test_an_expert_that_is_always_right_stops_at_the_limit() -> None:
    member = MemberLogits("m", "m", torch.tensor([0, 1]), "none", torch.eye(2))
    fuser = Temperature(2, Temperature.Config(limit=20)).fit([member], torch.tensor([0, 1]))
    assert fuser.state()["temperatures"]["m"] == pytest.approx(1 / 20, rel=1e-3)


def test_an_expert_without_an_answer_on_validation_keeps_its_temperature() -> None:
    case = random_case(4, [([0, 1], "zero"), ([2], "zero")], samples=12, num_classes=3)
    kept = case.labels < 2
    members = [member.take(kept.nonzero().flatten()) for member in case.members]
    assert Temperature(3).fit(members, case.labels[kept]).state()["temperatures"]["experts/1"] == 1.0
