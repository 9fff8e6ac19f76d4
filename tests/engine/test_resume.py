"""A training that was killed and is run again ends with the very weights and history of one that was not."""

from pathlib import Path

import pytest
import torch
from torch import nn

from ltbench.engine.fitting import checkpoint
from ltbench.engine.fitting.trainee import Trainee
from ltbench.engine.machine.compute import Compute
from ltbench.errors import StopRun
from ltbench.training.optim import OptimConfig
from ltbench.training.request import TrainingResult

from .toy import linear, run_toy

OPTIM = OptimConfig(epochs=6, lr=0.2, momentum=0.9, nesterov=True, patience=4)


class Killed(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


def network() -> Trainee:
    """With BatchNorm (statistics to keep) and dropout (random numbers to draw again)."""
    return linear(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.3)))


def without_seconds(result: TrainingResult) -> list[dict[str, float]]:
    return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in result.history]


@pytest.fixture(autouse=True)
def checkpoint_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)


@pytest.mark.parametrize("kills", [[1], [3], [2, 5], [6]])
def test_a_killed_training_ends_bit_identical(compute: Compute, tmp_path: Path, kills: list[int]) -> None:
    whole = network()
    expected = run_toy(whole, OPTIM, compute, tmp_path / "whole")

    for kill in kills:
        done = []

        def after_epoch(epoch: int, metrics: dict[str, float], kill: int = kill, done: list[int] = done) -> None:
            done.append(epoch)
            if epoch == kill:
                raise Killed

        with pytest.raises(Killed):
            run_toy(network(), OPTIM, compute, tmp_path / "killed", after_epoch=after_epoch)
        assert done[-1] == kill
    resumed, repeated = network(), []
    result = run_toy(
        resumed, OPTIM, compute, tmp_path / "killed", after_epoch=lambda epoch, metrics: repeated.append(epoch)
    )
    assert repeated[:1] == [kills[-1]], "it goes on with the epoch that was lost, not from the start"
    assert (result.best_epoch, result.best_accuracy) == (expected.best_epoch, expected.best_accuracy)
    assert without_seconds(result) == without_seconds(expected)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_stopped_training_keeps_the_epoch_after_which_it_stopped(
    compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 1e9)
    whole, resumed, repeated = network(), network(), []
    expected = run_toy(whole, OPTIM, compute, tmp_path / "whole")

    def after_epoch(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 3:
            raise StopRun("enough")

    with pytest.raises(StopRun, match="enough"):
        run_toy(network(), OPTIM, compute, tmp_path / "stopped", after_epoch=after_epoch)
    result = run_toy(
        resumed, OPTIM, compute, tmp_path / "stopped", after_epoch=lambda epoch, metrics: repeated.append(epoch)
    )
    assert repeated[0] == 4
    assert without_seconds(result) == without_seconds(expected)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_finished_training_is_not_trained_again(compute: Compute, tmp_path: Path) -> None:
    first, second = network(), network()
    expected = run_toy(first, OPTIM, compute, tmp_path)
    again = run_toy(second, OPTIM, compute, tmp_path, after_epoch=lambda epoch, metrics: pytest.fail("trained"))
    assert again == expected
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_between_two_checkpoints_some_seconds_pass(
    compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 1e9)
    files = []
    run_toy(
        network(), OPTIM, compute, tmp_path, after_epoch=lambda epoch, metrics: files.append(list(tmp_path.iterdir()))
    )
    assert files == [[]] * len(files), "none but the last"
    assert [path.name for path in tmp_path.iterdir()] == ["toy.safetensors"]
