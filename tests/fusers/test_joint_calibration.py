"""Joint calibration against scipy's optimum of the paper's equation, written with numpy in plain probabilities."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from ltbench_fusers.joint_calibration import JointCalibration, JointLoss
from scipy.optimize import approx_fprime, minimize
from torch import Tensor
from torch.autograd.functional import hessian
from torch.nn.functional import cross_entropy

from ltbench.fuser import MemberLogits, Outside

from .member_strategies import Case, random_case, softmax

EXPERTS: list[tuple[list[int], Outside]] = [([0, 3], "reject"), ([1], "reject"), ([2, 4], "reject")]
ENSEMBLES: dict[str, list[tuple[list[int], Outside]]] = {
    "reject": EXPERTS,
    "zero": [([0, 3], "zero"), ([1], "zero"), ([2, 4], "zero")],
    "control": [([0, 1, 2, 3, 4], "none")],
    "full beside experts": [*EXPERTS, ([0, 1, 2, 3, 4], "none")],
}


def equation(case: Case, parameters: np.ndarray, reject: str) -> np.ndarray:
    """q of Sec. 3.3.5, float64[N, C]; ``parameters`` are w and b of the first member, then of the second, ..."""
    q = np.zeros((len(case.labels), case.num_classes))
    for member, ids in zip(case.members, case.class_ids, strict=True):
        z = member.logits.numpy().astype(np.float64)
        w, b, parameters = np.split(parameters, [z.shape[1], 2 * z.shape[1]])
        p = softmax(w * z + b)
        if member.outside == "reject" and reject == "share":
            outside = np.setdiff1d(np.arange(case.num_classes), ids)
            q[:, outside] += p[:, -1:] / len(outside)
        q[:, ids] += p[:, : len(ids)]
    return q / q.sum(axis=1, keepdims=True)


def identity(case: Case) -> np.ndarray:
    return np.concatenate([np.repeat([1.0, 0.0], member.logits.shape[1]) for member in case.members])


def objective(parameters: np.ndarray, case: Case, reject: str, l2: float) -> float:
    q = equation(case, parameters, reject)
    cross_entropy = -np.log(q[np.arange(len(q)), case.labels.numpy()]).mean()
    return float(cross_entropy + l2 * np.square(parameters - identity(case)).sum())


def learned(state: dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.array(part[key]) for part in state["members"].values() for key in ("w", "b")])


@pytest.mark.parametrize("reject", ["drop", "share"])
@pytest.mark.parametrize("l2", [1e-1, 1e-3])
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_the_optimum_is_scipys(ensemble: str, l2: float, reject: str) -> None:
    case = random_case(5, ENSEMBLES[ensemble], samples=60, num_classes=5)
    test = random_case(6, ENSEMBLES[ensemble], samples=20, num_classes=5)
    fuser = JointCalibration(5, JointCalibration.Config(l2=l2, reject=reject)).fit(case.members, case.labels)
    found = minimize(objective, identity(case), args=(case, reject, l2), method="BFGS", options={"gtol": 1e-6})
    ours = learned(fuser.state())
    assert objective(ours, case, reject, l2) == pytest.approx(found.fun, abs=1e-6)
    np.testing.assert_allclose(ours, found.x, atol=2e-3)
    q = fuser.log_posterior(test.members).exp().numpy()
    np.testing.assert_allclose(q, equation(test, found.x, reject), atol=1e-3)
    np.testing.assert_allclose(q, equation(test, ours, reject), atol=1e-6)


def test_a_very_strong_l2_leaves_the_posteriors_as_they_are() -> None:
    case = random_case(1, EXPERTS, samples=30, num_classes=5)
    fuser = JointCalibration(5, JointCalibration.Config(l2=1e6)).fit(case.members, case.labels)
    expected = equation(case, identity(case), "drop")
    np.testing.assert_allclose(fuser.log_posterior(case.members).exp(), expected, atol=1e-5)


def test_a_misaligned_expert_is_put_right() -> None:
    """An expert whose logits were shifted against its reject logit: voting cannot know, calibration learns it."""
    case = random_case(2, EXPERTS, samples=400, num_classes=5)
    first, *others = case.members
    shifted = MemberLogits(
        first.name, first.method, first.classes, "reject", first.logits + torch.tensor([0.0, 0.0, 8.0])
    )
    members = [shifted, *others]
    labels = case.labels
    before = torch.from_numpy(equation(Case(members, 5, labels), identity(case), "drop"))
    after = JointCalibration(5).fit(members, labels).log_posterior(members)
    accuracy = [float((q.argmax(dim=1) == labels).double().mean()) for q in (before, after)]
    assert accuracy[1] > accuracy[0] + 0.1


def test_the_l2_strength_is_the_best_on_held_out_folds() -> None:
    case = random_case(3, EXPERTS, samples=100, num_classes=5)
    fuser = JointCalibration(5, JointCalibration.Config(l2_grid=(1e-1, 1e-2, 1e-3))).fit(case.members, case.labels)
    state = fuser.state()
    assert state["l2_held_out"][f"{state['l2']:g}"] == min(state["l2_held_out"].values())
    given = JointCalibration(5, JointCalibration.Config(l2=state["l2"])).fit(case.members, case.labels)
    assert given.state()["members"] == state["members"]
    for l2, held_out in state["l2_held_out"].items():
        losses = []
        for fold in range(5):
            inside = torch.tensor([row for row in range(100) if (row // 5) % 5 != fold])
            outside = torch.tensor([row for row in range(100) if (row // 5) % 5 == fold])
            one = JointCalibration(5, JointCalibration.Config(l2=float(l2)))
            one.fit([member.take(inside) for member in case.members], case.labels[inside])
            log_q = one.log_posterior([member.take(outside) for member in case.members])
            losses.append(-log_q.gather(1, case.labels[outside][:, None]).double().mean().item())
        assert held_out == pytest.approx(np.mean(losses), abs=2e-3)


def test_thousands_of_scales_are_summarised(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(4, EXPERTS, samples=20, num_classes=5)
    fuser = JointCalibration(5, JointCalibration.Config(l2=1e-2)).fit(case.members, case.labels)
    width = sum(member.logits.shape[1] for member in case.members)
    monkeypatch.setattr("ltbench_fusers.joint_calibration.LISTED", width)
    listed = fuser.state()["members"]
    monkeypatch.setattr("ltbench_fusers.joint_calibration.LISTED", width - 1)
    state = fuser.state()
    assert state["l2"] == 1e-2
    for name, values in listed.items():
        for what in ("w", "b"):
            expected = {"mean": np.mean(values[what]), "min": min(values[what]), "max": max(values[what])}
            assert state["members"][name][what] == pytest.approx(expected)


@pytest.mark.parametrize("reject", ["drop", "share"])
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_the_gradient_is_that_of_the_equation(ensemble: str, reject: str) -> None:
    """Against finite differences of the paper's equation in plain probabilities."""
    case = random_case(7, ENSEMBLES[ensemble], samples=12, num_classes=5)
    loss = JointLoss(case.members, case.labels, case.num_classes, reject)
    width = sum(loss.widths)
    parameters = loss.start + 0.2 * torch.randn(2 * width, generator=torch.Generator().manual_seed(0)).double()
    # Ours: w of all members, then b of all. The equation's: w and b of the first member, then of the second, ...
    starts = np.cumsum([0, *loss.widths])
    order = np.concatenate([np.arange(a, b) + half for a, b in pairwise(starts) for half in (0, width)])
    value, gradient = loss(parameters, torch.arange(12), 0.05)
    plain = parameters.numpy()[order]
    assert value == pytest.approx(objective(plain, case, reject, 0.05))
    expected = approx_fprime(plain, objective, 1e-7, case, reject, 0.05)
    np.testing.assert_allclose(gradient.numpy()[order], expected, atol=1e-5)


def test_of_a_single_classifier_the_curvature_is_the_hessians() -> None:
    """Its second derivatives with respect to w and b of one logit, by automatic differentiation; l2 = 0.05."""
    case = random_case(8, ENSEMBLES["control"], samples=30, num_classes=5)
    z, labels = case.members[0].logits.double(), case.labels
    loss = JointLoss(case.members, labels, case.num_classes, "drop")
    parameters = loss.start + 0.2 * torch.randn(10, generator=torch.Generator().manual_seed(0)).double()

    def plain(parameters: Tensor) -> Tensor:
        w, b = parameters.chunk(2)
        return cross_entropy(w * z + b, labels) + 0.05 * (parameters - loss.start).square().sum()

    second = hessian(plain, parameters)
    found = loss.curvature(parameters, torch.arange(30), 0.05)
    torch.testing.assert_close(found.xx, second.diag()[:5])
    torch.testing.assert_close(found.yy, second.diag()[5:])
    torch.testing.assert_close(found.xy, second.diag(5))
