"""KL-divergence minimisation against a brute-force optimiser of the paper's objective over all of q = softmax(z)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from ltbench_fusers.kl_divergence import KLDivergence, masses_by_newton
from scipy.optimize import minimize

from ltbench.fuser import MemberLogits, Outside

from .member_strategies import Case, disjoint_cases, overlapping_cases, random_case, softmax


def summed_divergence(q: np.ndarray, p: list[np.ndarray], classes: list[np.ndarray]) -> float:
    """sum_E KL(p_E || q) for one sample; what q gives to the classes outside of an expert is summed to meet r_E."""
    total = 0.0
    for own, ids in zip(p, classes, strict=True):
        met = q[ids]
        if len(own) > len(ids):
            met = np.append(met, np.delete(q, ids).sum())
        seen = own > 0
        total += float((own[seen] * np.log(own[seen] / met[seen])).sum())
    return total


def brute_force(p: list[np.ndarray], classes: list[np.ndarray], num_classes: int) -> np.ndarray:
    """q = softmax(z), z by BFGS from zero: the paper's own parametrisation, over all classes at once."""

    def objective(z: np.ndarray) -> tuple[float, np.ndarray]:
        q = softmax(z[None])[0]
        by_q = np.zeros(num_classes)
        for own, ids in zip(p, classes, strict=True):
            by_q[ids] -= own[: len(ids)] / q[ids]
            if len(own) > len(ids):
                outside = np.setdiff1d(np.arange(num_classes), ids)
                by_q[outside] -= own[-1] / q[outside].sum()
        return summed_divergence(q, p, classes), q * (by_q - q @ by_q)

    found = minimize(objective, np.zeros(num_classes), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    return softmax(found.x[None])[0]


def assert_minimises(case: Case) -> None:
    q = KLDivergence(case.num_classes).log_posterior(case.members).double().exp().numpy()
    for row in range(len(q)):
        p = [posterior[row] for posterior in case.posteriors]
        expected = brute_force(p, case.class_ids, case.num_classes)
        reached = summed_divergence(q[row] / q[row].sum(), p, case.class_ids)
        assert reached <= summed_divergence(expected, p, case.class_ids) + 1e-9
        np.testing.assert_allclose(q[row], expected, atol=1e-6)


@given(case=disjoint_cases(scale=4.0))
@settings(max_examples=60, deadline=None)
def test_disjoint_experts(case: Case) -> None:
    assert_minimises(case)


@given(case=overlapping_cases(scale=4.0))
@settings(max_examples=60, deadline=None)
def test_overlapping_members(case: Case) -> None:
    assert_minimises(case)


@pytest.mark.parametrize(
    "subsets",
    [
        [([0, 1], "reject"), ([0, 1], "reject"), ([2, 3, 4], "reject")],
        [([0, 1, 2], "reject"), ([1, 2], "reject"), ([2, 3, 4], "reject")],
        [([0], "reject"), ([0, 1], "reject"), ([0, 1, 2], "reject"), ([0, 1, 2, 3, 4], "none")],
        [([0, 2], "zero"), ([1, 2], "reject"), ([3, 4], "reject"), ([0, 4], "reject")],
    ],
    ids=["equal", "crossing", "nested", "mixed"],
)
def test_subsets_that_are_equal_crossing_nested_and_mixed(subsets: list[tuple[list[int], Outside]]) -> None:
    assert_minimises(random_case(1, subsets, samples=8, num_classes=5))


@pytest.mark.parametrize("scale", [20.0, 100.0])
@pytest.mark.parametrize("crossing", [False, True])
def test_certain_experts_leave_the_optimality_conditions_met(scale: float, crossing: bool) -> None:
    """d/dq_k of the sum is -m where q_k > 0 and no less elsewhere: enough for a minimum, as the problem is convex in q."""
    subsets: list[tuple[list[int], Outside]] = [([0, 1], "reject"), ([2, 3], "reject"), ([4, 5, 6], "reject")]
    if crossing:
        subsets += [([1, 2, 4], "reject"), ([0, 1, 2, 3], "reject")]
    case = random_case(2, subsets, samples=300, num_classes=7)
    members = [MemberLogits(m.name, m.method, m.classes, m.outside, scale * m.logits) for m in case.members]
    q = KLDivergence(7).log_posterior(members).double().exp()
    slope = torch.zeros_like(q)
    for member in members:
        p = member.logits.double().softmax(dim=1)
        slope[:, member.classes] += p[:, :-1] / q[:, member.classes].clamp(min=1e-30)
        outside = ~torch.isin(torch.arange(7), member.classes)
        slope += p[:, -1:] / (q * outside).sum(dim=1, keepdim=True).clamp(min=1e-30) * outside
    assert (q * (slope - len(members))).abs().max() < 1e-5
    assert slope[q > 1e-6].max() < len(members) + 1e-2


CROSSING = torch.tensor([[False, False, True, True], [False, True, False, True]])
"""Two subsets that cross cut the classes into four blocks: in both, in the first, in the second, in none."""


@pytest.mark.parametrize(
    ("weight", "reject"), [([3, 2, 2, 1], [0.5, 1.5]), ([1, 2, 4, 1], [1, 1]), ([2.5, 2.5, 2, 1], [1, 1])]
)
@pytest.mark.parametrize("beside", [False, True])
def test_masses_are_right_when_half_of_the_conditions_are_met_from_the_start(
    weight: list[float], reject: list[float], beside: bool
) -> None:
    """Newton starts at s = 1/4, where either the blocks' products or the subsets' are met; ``beside`` a sample of both."""
    rows = [(weight, reject), ([3, 2, 2, 1], [1, 1])] if beside else [(weight, reject)]
    c = torch.tensor([of_blocks for of_blocks, _ in rows], dtype=torch.float64) / 6
    r = torch.tensor([of_subsets for _, of_subsets in rows], dtype=torch.float64) / 3
    assert (c.sum(dim=1) + r.sum(dim=1)).tolist() == pytest.approx([2] * len(rows))
    s = masses_by_newton(c, r, CROSSING, 2)
    outside = CROSSING.double()
    slope = c / s + (r / (s @ outside.T)) @ outside  # stationarity: that of every block is the number of members
    torch.testing.assert_close(slope, torch.full_like(slope, 2), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(s.sum(dim=1), torch.ones(len(rows), dtype=torch.float64))


def test_experts_that_all_refuse_share_the_mass() -> None:
    """With r = 1 everywhere, -3 log(1 - s) summed over three experts is least at s = 1/3 each."""
    members = [
        MemberLogits(str(k), "experts", torch.tensor([2 * k, 2 * k + 1]), "reject", torch.tensor([[-1e4, -1e4, 1e4]]))
        for k in range(3)
    ]
    q = KLDivergence(6).log_posterior(members).exp()
    assert q[0].tolist() == pytest.approx([1 / 6] * 6)


def test_outlier_exposed_experts_share_the_mass_equally() -> None:
    """Without r the masses minimise -sum log s_E."""
    case = random_case(3, [([0, 2], "zero"), ([1, 3, 4], "zero")], samples=4, num_classes=5)
    q = KLDivergence(5).log_posterior(case.members).exp().numpy()
    for ids, p in zip(case.class_ids, case.posteriors, strict=True):
        np.testing.assert_allclose(q[:, ids], p / 2, atol=1e-6)
