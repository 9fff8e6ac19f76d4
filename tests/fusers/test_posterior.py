"""The mathematics that fusers share."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from ltbench.errors import DataError
from ltbench.fuser import MemberLogits, check_members
from ltbench.posterior import LOG_ZERO, chunks, expert_of_class, finish, log_g, log_softmax

from .member_strategies import MODERATE, Case, any_cases


def member(classes: list[int], outside: str, *probabilities: float, name: str = "m") -> MemberLogits:
    logits = torch.tensor([probabilities]).log()
    return MemberLogits(name, "experts", torch.tensor(classes), outside, logits)  # type: ignore[arg-type]


def g(one: MemberLogits, num_classes: int) -> list[float]:
    return log_g(log_softmax(one.logits), one, num_classes).exp()[0].tolist()


def test_g_shares_the_reject_probability_among_the_classes_outside() -> None:
    assert g(member([1, 3], "reject", 0.5, 0.2, 0.3), 5) == pytest.approx([0.1, 0.5, 0.1, 0.2, 0.1])


def test_g_gives_nothing_to_the_classes_outside_of_an_outlier_exposed_expert() -> None:
    assert g(member([1, 3], "zero", 0.6, 0.4), 4) == pytest.approx([0, 0.6, 0, 0.4])


def test_g_leaves_a_full_posterior_as_it_is() -> None:
    assert g(member([0, 1, 2], "none", 0.2, 0.5, 0.3), 3) == pytest.approx([0.2, 0.5, 0.3])


@given(case=any_cases(MODERATE))
@settings(max_examples=50, deadline=None)
def test_g_is_a_distribution_in_which_the_expert_keeps_its_probabilities(case: Case) -> None:
    for one, ids, p in zip(case.members, case.class_ids, case.posteriors, strict=True):
        full = log_g(log_softmax(one.logits), one, case.num_classes).exp().numpy()
        assert full.sum(axis=1) == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(full[:, ids], p[:, : len(ids)], atol=1e-12)


def test_zero_is_stored_as_a_finite_number_that_is_zero_again() -> None:
    log_q = finish(torch.tensor([[0.0, -math.inf, 0.0]], dtype=torch.float64))
    assert log_q[0, 1] == LOG_ZERO == -100_000  # nats of a label without probability, in every stored likelihood
    assert log_q.exp().tolist() == [[0.5, 0.0, 0.5]]


@pytest.mark.parametrize(("samples", "width"), [(0, 5), (1, 1), (1, 10**9), (1000, 10**4), (50_000, 8142)])
def test_chunks_cover_all_samples_in_order_and_stay_small(samples: int, width: int) -> None:
    parts = chunks(samples, width)
    assert [row for part in parts for row in range(samples)[part]] == list(range(samples))
    assert all(len(range(samples)[part]) * width <= 2**19 + width for part in parts)


def test_the_expert_of_each_class() -> None:
    experts = [member([1, 3], "zero", 0.5, 0.5, name="a"), member([0, 2], "zero", 0.5, 0.5, name="b")]
    assert expert_of_class(experts, 4).tolist() == [1, 0, 1, 0]


def test_experts_that_overlap_or_leave_a_class_out_are_refused() -> None:
    a, b = member([0, 1], "zero", 0.5, 0.5, name="a"), member([1, 2], "zero", 0.5, 0.5, name="b")
    with pytest.raises(DataError, match="'a' and 'b' both cover class 1"):
        expert_of_class([a, b], 3)
    with pytest.raises(DataError, match="no expert covers class 2"):
        expert_of_class([a], 3)


def test_a_reject_logit_without_classes_to_stand_for_is_refused() -> None:
    with pytest.raises(DataError, match="its reject logit stands for none"):
        check_members([member([0, 1], "reject", 0.5, 0.3, 0.2)], 2)
