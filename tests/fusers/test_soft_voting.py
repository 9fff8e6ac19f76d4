"""Soft voting, by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from ltbench_fusers.soft_voting import SoftVoting, log_vote

from ltbench.fuser import MemberLogits, Outside
from ltbench.posterior import log_softmax

from .member_strategies import MODERATE, Case, any_cases


def member(name: str, classes: list[int], outside: Outside, *probabilities: float) -> MemberLogits:
    return MemberLogits(
        name, name.split("/", maxsplit=1)[0], torch.tensor(classes), outside, torch.tensor([probabilities]).log()
    )


def vote(num_classes: int, *members: MemberLogits) -> list[float]:
    return SoftVoting(num_classes).log_posterior(members).exp()[0].tolist()


def test_experts_with_a_reject_class() -> None:
    q = vote(
        3,
        member("experts/many", [0], "reject", 0.7, 0.3),  # g: 0.7 0.15 0.15
        member("experts/few", [1, 2], "reject", 0.2, 0.5, 0.3),  # g: 0.3 0.2 0.5
    )
    assert q == pytest.approx([0.5, 0.175, 0.325])


def test_experts_with_outlier_exposure() -> None:
    q = vote(3, member("experts/many", [0], "zero", 1.0), member("experts/few", [1, 2], "zero", 0.4, 0.6))
    assert q == pytest.approx([0.5, 0.2, 0.3])


def test_each_method_has_one_vote() -> None:
    q = vote(
        2,
        member("baseline", [0, 1], "none", 0.9, 0.1),
        member("experts/many", [0], "reject", 0.5, 0.5),
        member("experts/few", [1], "reject", 0.9, 0.1),
    )
    experts = [(0.5 + 0.1) / 2, (0.5 + 0.9) / 2]
    assert q == pytest.approx([(0.9 + experts[0]) / 2, (0.1 + experts[1]) / 2])


def test_the_vote_is_a_distribution_before_it_is_normalised() -> None:
    members = [
        member("baseline", [0, 1], "none", 0.9, 0.1),
        member("experts/many", [0], "reject", 0.5, 0.5),
        member("experts/few", [1], "reject", 0.9, 0.1),
    ]
    q = log_vote(members, [log_softmax(one.logits) for one in members], 2).exp()
    assert q[0].tolist() == pytest.approx([0.6, 0.4])


@given(case=any_cases(MODERATE))
@settings(max_examples=60, deadline=None)
def test_the_mean_over_methods_of_the_mean_over_members(case: Case) -> None:
    votes: dict[str, list[np.ndarray]] = {}
    for one, ids, p in zip(case.members, case.class_ids, case.posteriors, strict=True):
        outside = case.num_classes - len(ids)
        full = np.zeros((len(p), case.num_classes))
        if one.outside == "reject":
            full += p[:, -1:] / outside
        full[:, ids] = p[:, : len(ids)]
        votes.setdefault(one.method, []).append(full)
    expected = np.mean([np.mean(own, axis=0) for own in votes.values()], axis=0)
    q = SoftVoting(case.num_classes).log_posterior(case.members).exp()
    np.testing.assert_allclose(q, expected, atol=1e-6)
