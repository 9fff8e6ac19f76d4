"""The units in which joint calibration is fitted, and the path of strengths, against computations of their own."""

import numpy as np
import pytest
import torch
from ltbench_fusers.calibration import L2Config, PairCurvature, fit_with_l2, stratified_folds
from ltbench_fusers.joint_calibration import JointCalibration, JointLoss
from ltbench_fusers.joint_units import stretched
from scipy.optimize import minimize
from torch import Tensor

from .member_strategies import Case, Outside, random_case
from .test_joint_calibration import EXPERTS, equation, identity, objective

CONTROL: list[tuple[list[int], Outside]] = [(list(range(5)), "none")]

OVERLAPPING: list[tuple[list[int], Outside]] = [([0, 1, 2, 3], "zero"), ([1, 4], "reject"), ([0, 1, 2, 3, 4], "none")]


def by_hand(case: Case, grid: tuple[float, ...], reject: str) -> tuple[dict[float, float], np.ndarray]:
    """Held-out cross entropy of each strength, every fold fitted from the identity by scipy; and the best one's parameters."""
    held_out = {}
    for l2 in grid:
        losses = []
        for fold in stratified_folds(case.labels, 5):
            inside = torch.ones(len(case.labels), dtype=torch.bool).index_fill(0, fold, False).nonzero()[:, 0]
            parts = [Case([m.take(rows) for m in case.members], 5, case.labels[rows]) for rows in (inside, fold)]
            found = minimize(
                objective, identity(case), args=(parts[0], reject, l2), method="BFGS", options={"gtol": 1e-6}
            )
            q = equation(parts[1], found.x, reject)
            losses += (-np.log(q[np.arange(len(q)), parts[1].labels.numpy()])).tolist()
        held_out[l2] = float(np.mean(losses))
        if held_out[l2] > min(held_out.values()):
            break
    best = min(held_out, key=held_out.__getitem__)
    found = minimize(objective, identity(case), args=(case, reject, best), method="BFGS", options={"gtol": 1e-6})
    return held_out, found.x


@pytest.mark.parametrize("reject", ["drop", "share"])
@pytest.mark.parametrize("ensemble", [EXPERTS, CONTROL, OVERLAPPING], ids=["experts", "control", "overlapping"])
def test_strength_and_answers_are_those_of_fits_from_scratch(
    ensemble: list[tuple[list[int], Outside]], reject: str
) -> None:
    case = random_case(11, ensemble, samples=60, num_classes=5)
    test = random_case(12, ensemble, samples=200, num_classes=5)
    grid = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    fuser = JointCalibration(5, JointCalibration.Config(l2_grid=grid, reject=reject)).fit(case.members, case.labels)
    held_out, best = by_hand(case, grid, reject)
    state = fuser.state()
    assert state["l2"] == min(held_out, key=held_out.__getitem__)
    assert state["l2"] not in (grid[0], grid[-1])
    assert {float(l2) for l2 in state["l2_held_out"]} == set(held_out)
    for l2 in (l2 for l2 in held_out if l2 >= state["l2"]):  # with less there are other minima, and flat ones
        assert state["l2_held_out"][f"{l2:g}"] == pytest.approx(held_out[l2], abs=1e-3 if l2 >= 1e-3 else 1.5e-2)
    q = fuser.log_posterior(test.members).exp().numpy()
    expected = equation(test, best, reject)
    np.testing.assert_allclose(q, expected, atol=1e-3)
    assert (q.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_a_given_strength_ends_where_the_chosen_one_does() -> None:
    case = random_case(3, EXPERTS, samples=100, num_classes=5)
    chosen = JointCalibration(5).fit(case.members, case.labels).state()
    given = JointCalibration(5, JointCalibration.Config(l2=chosen["l2"])).fit(case.members, case.labels).state()
    assert given["members"] == chosen["members"]


@pytest.mark.parametrize("reject", ["drop", "share"])
@pytest.mark.parametrize("ensemble", [EXPERTS, CONTROL, OVERLAPPING], ids=["experts", "control", "overlapping"])
def test_in_float32_loss_gradient_and_curvature_are_the_same_to_six_digits(
    ensemble: list[tuple[list[int], Outside]], reject: str
) -> None:
    case = random_case(7, ensemble, samples=200, num_classes=5)
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(1))[:150]
    exact, rough = (JointLoss(case.members, case.labels, 5, reject, dtype) for dtype in (torch.float64, torch.float32))
    parameters = exact.start + 0.3 * torch.randn(len(exact.start), generator=torch.Generator().manual_seed(0)).double()
    (value, gradient), (near, near_gradient) = (loss(parameters, rows, 0.01) for loss in (exact, rough))
    assert near != value
    assert near == pytest.approx(value, rel=1e-6)
    assert near_gradient.dtype == torch.float64
    torch.testing.assert_close(near_gradient, gradient, atol=1e-7, rtol=1e-5)
    for entry in ("xx", "xy", "yy"):
        found = [getattr(loss.curvature(parameters, rows, 0.01), entry) for loss in (rough, exact)]
        torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)


def pairs_of(matrix: Tensor) -> PairCurvature:
    xx, yy = matrix.diag().chunk(2)
    return PairCurvature(xx, matrix.diag(len(xx)), yy, least=1e-6)


def test_along_what_moves_together_the_curvature_becomes_one() -> None:
    """A quadratic whose first 3 and last 5 of 8 pairs are stiff or flat as a whole."""
    random = torch.Generator().manual_seed(0)
    together = torch.block_diag(*[torch.ones(size, 1, dtype=torch.float64) for size in (3, 5, 3, 5)])
    stiff = together @ torch.diag(torch.tensor([40.0, 3.0, 9.0, 100.0], dtype=torch.float64)) @ together.T
    matrix = stiff + torch.diag(torch.rand(16, generator=random, dtype=torch.float64) + 0.5)
    centre = torch.randn(16, generator=random, dtype=torch.float64)
    units = stretched(pairs_of(matrix), together, lambda at: matrix @ (at - centre), torch.zeros_like(centre))
    change = torch.stack([units.parameters(step) for step in torch.eye(16, dtype=torch.float64)], dim=1)
    seen = change.T @ matrix @ change
    along = units.directions.T @ seen @ units.directions
    torch.testing.assert_close(along, torch.eye(4, dtype=torch.float64))
    gradient = torch.randn(16, generator=random, dtype=torch.float64)
    torch.testing.assert_close(units.gradient(gradient), change.T @ gradient)
    torch.testing.assert_close(units.pairs.parameters(units.pairs.steps(centre)), centre)
    torch.testing.assert_close(units.directions.T @ units.directions, torch.eye(4, dtype=torch.float64))


def test_what_seems_flat_is_not_stretched_without_end() -> None:
    flat = torch.eye(4, dtype=torch.float64) - torch.full((4, 4), 0.25 - 1e-9)
    together = torch.ones(4, 1, dtype=torch.float64)
    units = stretched(pairs_of(torch.eye(4).double()), together, lambda at: flat @ at, torch.zeros(4).double())
    along = units.parameters(together[:, 0])
    torch.testing.assert_close(along, together[:, 0] * 0.1**-0.5)


def test_the_scales_and_shifts_of_a_member_move_together() -> None:
    """Three experts of 2, 1 and 2 classes; a dropped reject logit moves by itself."""
    case = random_case(5, EXPERTS, samples=60, num_classes=5)
    for reject, groups in (
        ("drop", [[0, 1], [2], [3], [4], [5, 6], [7]]),
        ("share", [[0, 1, 2], [3, 4], [5, 6, 7]]),
    ):
        loss = JointLoss(case.members, case.labels, 5, reject)
        units = loss.units(loss.start, torch.arange(60), 1e-2)
        size = loss.size
        for group in [*groups, *([size + position for position in own] for own in groups)]:
            change = torch.zeros(2 * size, dtype=torch.float64)
            change[group] = 1.0
            steps = units.pairs.steps(change)
            torch.testing.assert_close(units.directions @ (units.directions.T @ steps), steps)
        assert units.directions.shape[1] == 2 * len(groups)


def shifted_bowl(by: float) -> tuple[Tensor, object]:
    targets = 1 + torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def bowl(parameters: Tensor, rows: Tensor, l2: float) -> tuple[float, Tensor]:
        error = parameters - targets[rows] - by
        value = 0.5 * error.square().sum(dim=1).mean() + l2 * parameters.square().sum()
        return float(value), error.mean(dim=0) + 2 * l2 * parameters

    return targets, bowl


def test_a_rough_objective_says_where_to_begin_and_the_exact_one_where_to_end() -> None:
    """The rough one is wrong by 0.5: each held-out loss is the exact one's at the wrong place, the answer is right."""
    (targets, exact), (_, rough) = shifted_bowl(0.0), shifted_bowl(0.5)
    labels = torch.arange(40) % 4
    ones, none = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)

    def units(parameters: Tensor, rows: Tensor, l2: float) -> PairCurvature:
        return PairCurvature(ones + 2 * l2, none, ones + 2 * l2, least=1e-3)

    grid = (1e-1, 1e-2)
    found = fit_with_l2(exact, torch.zeros(6).double(), labels, L2Config(l2_grid=grid), units, rough)
    torch.testing.assert_close(found.parameters, targets.mean(dim=0) / (1 + 2 * found.l2), atol=1e-5, rtol=0)
    for l2, loss in found.held_out.items():
        total = 0.0
        for fold in stratified_folds(labels, 5):
            inside = torch.ones(40, dtype=torch.bool).index_fill(0, fold, False)
            place = (targets[inside].mean(dim=0) + 0.5) / (1 + 2 * l2)
            total += float((0.5 * (place - targets[fold]).square().sum(dim=1)).sum())
        assert loss == pytest.approx(total / 40, abs=1e-5)
