"""Expert selection and stacking against scipy's optimum of the same linear softmax classifier, written with numpy."""

import numpy as np
import pytest
import torch
from ltbench_fusers.expert_selection import ExpertSelection
from ltbench_fusers.stacking import Stacking
from scipy.optimize import minimize

from ltbench.errors import DataError
from ltbench.fuser import Outside

from .member_strategies import Case, random_case, softmax

EXPERTS: list[tuple[list[int], Outside]] = [([0, 3], "reject"), ([1], "reject"), ([2], "reject")]


def features(case: Case) -> np.ndarray:
    """The concatenated partial posteriors and a column of ones for the bias."""
    return np.hstack([*case.posteriors, np.ones((len(case.labels), 1))])


def classifier(case: Case, targets: np.ndarray, outputs: int, l2: float) -> np.ndarray:
    """W float64[outputs, F + 1] by BFGS with scipy's own numerical gradient."""
    inputs = features(case)

    def objective(weights: np.ndarray) -> float:
        p = softmax(inputs @ weights.reshape(outputs, -1).T)
        return float(-np.log(p[np.arange(len(p)), targets]).mean() + l2 * np.square(weights).sum())

    found = minimize(objective, np.zeros(outputs * inputs.shape[1]), method="BFGS", options={"gtol": 1e-6})
    return found.x.reshape(outputs, -1)


ONE: list[tuple[list[int], Outside]] = [([0, 1, 2, 3], "none")]


@pytest.mark.parametrize(("subsets", "l2"), [(EXPERTS, 1e-2), (EXPERTS, 1e-4), (ONE, 1e-2)])
def test_stacking_is_the_softmax_regression_on_the_partial_posteriors(
    subsets: list[tuple[list[int], Outside]], l2: float
) -> None:
    val, test = (random_case(seed, subsets, samples=60, num_classes=4) for seed in (1, 2))
    weights = classifier(val, val.labels.numpy(), 4, l2)
    fuser = Stacking(4, Stacking.Config(l2=l2)).fit(val.members, val.labels)
    q = fuser.log_posterior(test.members).exp()
    np.testing.assert_allclose(q, softmax(features(test) @ weights.T), atol=2e-3)
    assert fuser.state()["weight_norm"] == pytest.approx(np.linalg.norm(weights), rel=1e-2)


@pytest.mark.parametrize("outside", ["reject", "zero"])
def test_the_posterior_is_that_of_the_expert_that_the_classifier_chooses(outside: Outside) -> None:
    subsets: list[tuple[list[int], Outside]] = [([0, 3], outside), ([1, 4], outside), ([2, 5], outside)]
    val, test = (random_case(seed, subsets, samples=80, num_classes=6) for seed in (3, 4))
    chosen = (features(test) @ classifier(val, val.labels.numpy() % 3, 3, 1e-3).T).argmax(axis=1)
    q = ExpertSelection(6, ExpertSelection.Config(l2=1e-3)).fit(val.members, val.labels).log_posterior(test.members)
    expected = np.zeros((len(chosen), 6))
    for row, expert in enumerate(chosen):
        ids, p = test.class_ids[expert], test.posteriors[expert][row]
        if outside == "reject":
            expected[row] = p[-1] / 4
        expected[row, ids] = p[:2]
    assert len(set(chosen)) == 3
    np.testing.assert_allclose(q.exp(), expected, atol=1e-5)


def test_selection_needs_disjoint_experts() -> None:
    case = random_case(0, [*EXPERTS, ([0, 1, 2, 3], "none")], samples=8, num_classes=4)
    with pytest.raises(DataError, match="both cover class 0: this needs experts whose class subsets are disjoint"):
        ExpertSelection(4).fit(case.members, case.labels)


@pytest.mark.parametrize("fuser", [Stacking, ExpertSelection])
def test_what_is_learned_beats_a_guess_on_other_samples(fuser: type[Stacking] | type[ExpertSelection]) -> None:
    val, test = (random_case(seed, EXPERTS, samples=120, num_classes=4) for seed in (5, 6))
    predictions = fuser(4).fit(val.members, val.labels).log_posterior(test.members).argmax(dim=1)
    assert (predictions == test.labels).double().mean() > 0.5
    assert torch.unique(predictions).numel() == 4
