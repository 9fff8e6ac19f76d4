"""The settings that a fuser is fitted with when nobody chooses: they decide every number of a shipped row."""

import pytest
from ltbench_fusers.calibration import L2Config
from ltbench_fusers.expert_selection import ExpertSelection
from ltbench_fusers.joint_calibration import JointCalibration
from ltbench_fusers.logit_adjustment import LogitAdjustment
from ltbench_fusers.stacking import Stacking
from ltbench_fusers.temperature import Temperature
from pydantic import ValidationError

FITTED = {"l2": "auto", "folds": 5, "max_iterations": 500}

DEFAULTS = {
    L2Config: {**FITTED, "l2_grid": (1e-2, 1e-3, 3e-4, 1e-4, 3e-5)},
    JointCalibration.Config: {**FITTED, "l2_grid": (1e-2, 1e-3, 3e-4, 1e-4, 3e-5), "reject": "drop"},
    ExpertSelection.Config: {**FITTED, "l2_grid": (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)},
    Stacking.Config: {**FITTED, "l2_grid": (3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6), "folds": 3},
    Temperature.Config: {"limit": 1000.0},
    LogitAdjustment.Config: {"tau": 1.0},
}


@pytest.mark.parametrize("config", DEFAULTS)
def test_defaults(config: type) -> None:
    assert config().model_dump() == DEFAULTS[config]


LEARNED = [L2Config, ExpertSelection.Config, Stacking.Config, JointCalibration.Config]


@pytest.mark.parametrize("config", LEARNED)
def test_the_smallest_values_that_mean_something_are_taken(config: type) -> None:
    chosen = {"l2": 1e-300, "l2_grid": (1e-300,), "folds": 2, "max_iterations": 1}
    assert chosen.items() <= config(**chosen).model_dump().items()


@pytest.mark.parametrize("config", LEARNED)
@pytest.mark.parametrize(
    "chosen", [{"l2": 0.0}, {"l2_grid": ()}, {"l2_grid": (0.0,)}, {"folds": 1}, {"max_iterations": 0}], ids=str
)
def test_what_means_nothing_is_refused(config: type, chosen: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(chosen))):
        config(**chosen)


def test_temperatures_are_limited_to_both_sides_of_one() -> None:
    assert Temperature.Config(limit=1.5).limit == 1.5
    with pytest.raises(ValidationError, match="limit"):
        Temperature.Config(limit=1.0)
