"""The training loop: it learns, keeps the best validation epoch, and takes the steps it is told to take."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.config import ComputeConfig
from ltbench.engine.fitting.stepping import Level
from ltbench.engine.machine.compute import Compute
from ltbench.errors import LtbenchError
from ltbench.training.optim import OptimChanges, OptimConfig
from ltbench.training.step import Minibatch

from .toy import accuracy, linear, points, run_toy, whole


def constant(**changes: object) -> OptimConfig:
    plain = {"epochs": 2, "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    return OptimConfig.model_validate(plain | changes)


def scripted(accuracies: list[float]):
    answers = iter(accuracies)
    return lambda trainee: next(answers)


def test_it_learns_to_tell_two_clouds_apart(compute: Compute, tmp_path: Path) -> None:
    trainee = linear()
    result = run_toy(trainee, OptimConfig(epochs=5, lr=0.2), compute, tmp_path)
    assert accuracy(trainee) == result.best_accuracy >= 95
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]


def test_the_best_epoch_is_kept_not_the_last_and_the_earlier_of_two_equal_ones(
    compute: Compute, tmp_path: Path
) -> None:
    trainee, weights = linear(), []
    result = run_toy(
        trainee,
        constant(epochs=4),
        compute,
        tmp_path,
        validate=scripted([50.0, 90.0, 70.0, 90.0]),
        after_epoch=lambda epoch, metrics: weights.append(trainee.heads[0].weight.detach().clone()),
    )
    assert (result.best_epoch, result.best_accuracy, len(result.history)) == (2, 90.0, 4)
    assert torch.equal(trainee.heads[0].weight, weights[1])
    assert not any(torch.equal(weights[1], weights[other]) for other in (0, 2, 3))


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 6), (0, 6)])
def test_patience_counts_epochs_without_a_better_one(
    compute: Compute, tmp_path: Path, patience: int, epochs: int
) -> None:
    validate = scripted([10.0, 20.0, 20.0, 15.0, 30.0, 25.0])
    result = run_toy(linear(), constant(epochs=6, patience=patience), compute, tmp_path, validate=validate)
    assert len(result.history) == epochs


def test_only_validated_epochs_can_be_kept_and_the_last_is_always_validated(compute: Compute, tmp_path: Path) -> None:
    validate = scripted([50.0, 40.0, 60.0])
    result = run_toy(linear(), constant(epochs=5, validate_every=2), compute, tmp_path, validate=validate)
    assert [epoch.get("val_accuracy") for epoch in result.history] == [None, 50.0, None, 40.0, 60.0]
    assert (result.best_epoch, result.best_accuracy) == (5, 60.0)


def test_patience_waits_for_a_validation(compute: Compute, tmp_path: Path) -> None:
    optim = constant(epochs=9, validate_every=3, patience=1)
    result = run_toy(linear(), optim, compute, tmp_path, validate=scripted([50.0, 50.0, 60.0]))
    assert (result.best_epoch, len(result.history)) == (3, 6)


STEPS, EPOCHS = 4, 5


def closed_form(schedule: str, warmup: float) -> np.ndarray:
    """Factors of all 20 steps, float[20]."""
    total, warm = STEPS * EPOCHS, round(warmup * STEPS * EPOCHS)
    step = np.arange(total)
    rising = (step + 1) / max(warm, 1)
    falling = {
        "constant": np.ones(total),
        "cosine": (1 + np.cos(np.pi * (step - warm) / (total - warm))) / 2,
        "step": 0.5 ** np.floor(step / (2 * STEPS)),
    }[schedule]
    return np.where(step < warm, rising, falling)


@pytest.mark.parametrize("warmup", [0.0, 0.2])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_the_learning_rate_follows_its_formula_step_by_step(
    compute: Compute, tmp_path: Path, schedule: str, warmup: float
) -> None:
    """With a loss whose gradient for the bias is 1/2 everywhere, the bias moves by lr / 2 times the sum of the factors."""
    optim = constant(epochs=EPOCHS, schedule=schedule, warmup=warmup, step_epochs=2, step_gamma=0.5)
    factors = closed_form(schedule, warmup)
    assert [optim.factor(step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)] == pytest.approx(factors)

    trainee = linear()
    before = trainee.heads[0].bias.detach().clone()
    result = run_toy(
        trainee,
        optim,
        compute,
        tmp_path,
        level=Level(loss=lambda logits, targets: logits.mean()),
        validate=scripted([1, 2, 3, 4, 5]),
    )
    moved = (before - trainee.heads[0].bias).detach()
    assert moved.tolist() == pytest.approx([0.1 / 2 * factors.sum()] * 2, rel=1e-4)
    assert [epoch["lr"] for epoch in result.history] == pytest.approx(0.1 * factors[::STEPS])


def test_min_steps_add_epochs_to_a_small_subset() -> None:
    optim = OptimConfig(epochs=3, batch_size=10, min_steps=25)
    assert [optim.planned_epochs(samples) for samples in (1, 25, 99, 1000)] == [25, 9, 3, 3]


def test_changes_replace_what_they_name_and_nothing_else() -> None:
    changed = OptimConfig(epochs=60, lr=0.1).changed(OptimChanges(lr=0.5))
    assert changed == OptimConfig(epochs=60, lr=0.5)


def test_parameter_groups_have_learning_rates_of_their_own(compute: Compute, tmp_path: Path) -> None:
    trainee = linear()
    weight, bias = trainee.heads[0].weight.detach().clone(), trainee.heads[0].bias.detach().clone()
    groups = [{"params": [trainee.heads[0].weight], "lr": 1e-30}, {"params": [trainee.heads[0].bias]}]
    run_toy(
        trainee,
        constant(schedule="cosine"),
        compute,
        tmp_path,
        level=Level(loss=lambda logits, targets: logits.mean()),
        validate=scripted([1, 2]),
        parameter_groups=groups,
    )
    assert torch.equal(trainee.heads[0].weight, weight)
    factors = (1 + np.cos(np.pi * np.arange(8) / 8)) / 2
    assert (bias - trainee.heads[0].bias).tolist() == pytest.approx([0.1 / 2 * factors.sum()] * 2, rel=1e-4)


@pytest.mark.parametrize("pieces", [2, 3, 5, 1000])
def test_gradient_accumulation_changes_no_weight(tmp_path: Path, pieces: int) -> None:
    """Batches of 16 and 12 are no multiple of 3 or 5; a piece never falls below two samples."""
    weights = []
    for accumulation in (1, pieces):
        trainee = linear()
        compute = Compute(ComputeConfig(device="cpu", precision="fp32", gradient_accumulation=accumulation))
        run_toy(
            trainee, OptimConfig(epochs=2, lr=0.1), compute, tmp_path / str(accumulation), validate=scripted([1, 2])
        )
        weights.append(trainee.heads[0].weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)


def test_accumulation_leaves_every_piece_enough_for_batchnorm(tmp_path: Path) -> None:
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", gradient_accumulation=4))

    def five(epoch: int) -> Iterator[Minibatch]:
        inputs, targets = points()
        yield whole(inputs[:5], targets[:5])

    trainee = linear(nn.BatchNorm1d(4))
    result = run_toy(trainee, constant(), compute, tmp_path, data=five)
    assert math.isfinite(result.history[-1]["loss"])


def test_a_loss_that_names_features_gets_them(compute: Compute, tmp_path: Path) -> None:
    seen = []

    def loss(logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        seen.append(features.detach())
        return F.cross_entropy(logits, targets)

    run_toy(linear(), constant(epochs=1), compute, tmp_path, level=Level(loss=loss))
    trained_on, given = torch.cat(seen), points()[0]
    assert torch.equal(trained_on.sort(dim=0).values, given.sort(dim=0).values)


def test_a_loss_that_is_not_finite_is_one_line_that_says_what_to_do(compute: Compute, tmp_path: Path) -> None:
    with pytest.raises(
        LtbenchError, match=r"^toy: the loss is nan in epoch 1; lower the learning rate \(optim.lr = 0.1\)\.$"
    ):
        run_toy(
            linear(),
            constant(),
            compute,
            tmp_path,
            level=Level(loss=lambda logits, targets: logits.mean() * float("nan")),
        )
