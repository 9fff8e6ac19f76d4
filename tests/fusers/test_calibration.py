"""The optimisation that learned fusers share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ltbench_fusers.calibration import (
    L2Config,
    Objective,
    PairCurvature,
    PosteriorClassifier,
    fit_with_l2,
    mean_over_chunks,
    minimise,
    stratified_folds,
)
from torch import Tensor

from .member_strategies import random_case


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40), folds=st.integers(2, 7))
def test_folds_share_out_every_class(labels: list[int], folds: int) -> None:
    parts = stratified_folds(torch.tensor(labels), folds)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))
    assert len(parts) == min(folds, len(labels))
    for values in (range(6), *([label] for label in range(6))):
        sizes = [sum(labels[row] in values for row in part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def ridge(targets: Tensor) -> Objective:
    """Half the mean squared distance of the parameters from each sample's targets float64[N, P], and L2 towards zero."""

    def objective(parameters: Tensor, rows: Tensor, l2: float) -> tuple[float, Tensor]:
        error = parameters - targets[rows]
        value = 0.5 * error.square().sum(dim=1).mean() + l2 * parameters.square().sum()
        return float(value), error.mean(dim=0) + 2 * l2 * parameters

    return objective


def targets_with_noise(deviation: float) -> Tensor:
    noise = torch.randn(40, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 1 + deviation * noise


START, LABELS = torch.zeros(200, dtype=torch.float64), torch.arange(40) % 4


def test_the_solution_of_a_ridge_regression() -> None:
    targets = targets_with_noise(1.0)
    found = fit_with_l2(ridge(targets), START, LABELS, L2Config(l2=0.3))
    assert torch.allclose(found.parameters, targets.mean(dim=0) / 1.6, atol=1e-6)
    assert found.held_out == {}


@pytest.mark.parametrize(("deviation", "expected"), [(0.0, 1e-4), (2.0, 3e-2), (20.0, 1.0)])
def test_the_noisier_the_targets_the_stronger_the_l2(deviation: float, expected: float) -> None:
    """Shrinking by 1 / (1 + 2 l2) is best at 2 l2 = deviation^2 / n, n = 32 samples in a training fold."""
    grid = (1e-4, 3e-2, 1.0)
    found = fit_with_l2(ridge(targets_with_noise(deviation)), START, LABELS, L2Config(l2_grid=grid))
    assert found.l2 == expected
    assert found.held_out[found.l2] == min(found.held_out.values())


def test_a_tie_takes_the_stronger() -> None:
    found = fit_with_l2(
        ridge(torch.zeros(40, 200, dtype=torch.float64)), START, LABELS, L2Config(l2_grid=(1e-3, 1e-1, 1e-2))
    )
    assert found.l2 == 1e-1


def test_a_single_sample_takes_the_strongest() -> None:
    found = fit_with_l2(ridge(targets_with_noise(0.0)[:1]), START, LABELS[:1], L2Config(l2_grid=(1e-3, 1e-1)))
    assert found.l2 == 1e-1
    assert found.held_out == {}


def test_two_samples_are_enough_to_hold_one_out() -> None:
    """Each predicts the other exactly, so that every L2 makes it worse."""
    found = fit_with_l2(ridge(targets_with_noise(0.0)[:2]), START, LABELS[:2], L2Config(l2_grid=(1e-3, 1e-1)))
    assert found.l2 == 1e-3
    assert set(found.held_out) == {1e-3, 1e-1}


def valley(parameters: Tensor, rows: Tensor, l2: float) -> tuple[float, Tensor]:
    """Rosenbrock's function of one pair; the bottom is at (1, 1), some 35 iterations away."""
    x, y = (float(value) for value in parameters)
    slope = [-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2, torch.tensor(slope, dtype=torch.float64)


@pytest.mark.parametrize(("most", "times"), [(5, 1), (15, 1), (16, 2), (200, 2)])
def test_the_curvature_is_taken_again_where_the_first_iterations_end(most: int, times: int) -> None:
    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    places: list[Tensor] = []

    def flat(parameters: Tensor, rows: Tensor, l2: float) -> PairCurvature:
        places.append(parameters)
        return PairCurvature(*torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64), least=1e-3)

    found = minimise(valley, torch.arange(1), start, 0.0, 1e-9, most, flat)
    assert len(places) == times
    assert torch.equal(places[0], start)
    assert all((place - start).norm() > 0.1 for place in places[1:])
    assert ((found - 1).norm() < 1e-4) == (most == 200)


def test_a_classifier_starts_at_zero() -> None:
    case = random_case(1, [([0, 1, 2], "none"), ([0], "reject")], samples=3, num_classes=3)
    start = PosteriorClassifier(case.members, 4).start
    assert torch.equal(start, torch.zeros(4 * (3 + 2 + 1), dtype=torch.float64))


def test_chunks_add_up_to_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltbench.posterior.CHUNK_ELEMENTS", 12)
    seen = []

    def summed(rows: Tensor) -> tuple[float, Tensor]:
        seen.append(len(rows))
        return float(rows.sum()), rows.sum() * torch.ones(2)

    value, gradient = mean_over_chunks(summed, torch.tensor([4, 8, 1, 7, 5]), width=4)
    assert value == 5
    assert gradient.tolist() == [5, 5]
    assert sorted(seen) == [2, 3]


def random_pairs(count: int) -> tuple[Tensor, PairCurvature]:
    """Symmetric positive matrices float64[K, 2, 2] of very different sizes, and the same as a curvature."""
    generator = torch.Generator().manual_seed(count)
    factors = torch.randn(count, 2, 2, generator=generator, dtype=torch.float64)
    blocks = factors @ factors.mT * torch.logspace(-4, 4, count, dtype=torch.float64)[:, None, None]
    least = 0.5 * float(torch.linalg.eigvalsh(blocks).min())
    return blocks, PairCurvature(blocks[:, 0, 0], blocks[:, 0, 1], blocks[:, 1, 1], least)


def as_matrix(blocks: Tensor) -> Tensor:
    """The blocks of pairs as one matrix float64[2K, 2K] for parameters with all x first."""
    return torch.cat([torch.cat([blocks[:, i, j].diag() for j in range(2)], dim=1) for i in range(2)])


@given(st.integers(1, 20))
def test_in_its_own_units_a_curvature_is_the_identity(count: int) -> None:
    blocks, units = random_pairs(count)
    change = torch.stack([units.parameters(step) for step in torch.eye(2 * count, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(change.T @ as_matrix(blocks) @ change, torch.eye(2 * count, dtype=torch.float64))
    gradient = torch.randn(2 * count, dtype=torch.float64)
    torch.testing.assert_close(units.gradient(gradient), change.T @ gradient)


def test_with_its_curvature_an_ill_conditioned_problem_takes_a_few_evaluations() -> None:
    blocks, units = random_pairs(50)
    matrix = as_matrix(blocks)
    wanted = torch.randn(100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    evaluations = []

    def objective(parameters: Tensor, rows: Tensor, l2: float) -> tuple[float, Tensor]:
        evaluations.append(rows)
        gradient = matrix @ (parameters - wanted)
        return 0.5 * float((parameters - wanted) @ gradient), gradient

    start, labels = torch.zeros_like(wanted), torch.zeros(10, dtype=torch.int64)
    with_it = fit_with_l2(objective, start, labels, L2Config(l2=1e-3), lambda *where: units).parameters
    few = len(evaluations)
    fit_with_l2(objective, start, labels, L2Config(l2=1e-3, max_iterations=100))
    torch.testing.assert_close(with_it, wanted, atol=1e-3, rtol=1e-3)
    assert few < 15 < 100 < len(evaluations) - few
