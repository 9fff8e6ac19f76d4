"""An objective, an update and what a step shows them, on two clouds of points."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.config import ComputeConfig
from ltbench.engine.fitting.stepping import Level
from ltbench.engine.fitting.trainee import Trainee
from ltbench.engine.machine.compute import Compute
from ltbench.errors import LtbenchError, UsageError
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step

from .toy import BATCH, SAMPLES, batches, linear, run_toy, trainee_of

PLAIN = OptimConfig(epochs=2, lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant", validate_every=2)
"""The last epoch is the one that is kept."""


def weights(trainee: Trainee) -> Tensor:
    return torch.cat([value.flatten() for value in trainee.state_dict().values()])


def test_an_objective_may_be_the_loss_itself(compute: Compute, tmp_path: Path) -> None:
    by_loss, by_objective = linear(), linear()
    run_toy(by_loss, PLAIN, compute, tmp_path / "loss")

    def objective(step: Step) -> Tensor:
        return F.cross_entropy(step.outputs["toy"].logits, step.targets)

    run_toy(by_objective, PLAIN, compute, tmp_path / "objective", level=Level(objective=objective))
    assert torch.equal(weights(by_loss), weights(by_objective))


def test_the_default_objective_is_the_sum_over_the_members(compute: Compute, tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(4, 2), nn.Linear(4, 2)
    pair = trainee_of(first, second)
    alone = trainee_of(nn.Linear(4, 2))
    alone.heads[0].load_state_dict(second.state_dict())
    run_toy(pair, PLAIN, compute, tmp_path / "pair", validate=lambda trainee: 1.0)
    run_toy(alone, PLAIN, compute, tmp_path / "alone", validate=lambda trainee: 1.0)
    torch.testing.assert_close(pair.heads[1].weight, alone.heads[0].weight)


def test_an_objective_of_several_terms_is_minimised_by_its_loss_or_its_sum(compute: Compute, tmp_path: Path) -> None:
    def terms(step: Step) -> dict[str, Tensor]:
        logits = step.outputs["toy"].logits
        return {"first": logits[:, 0].mean(), "second": 2 * logits[:, 1].mean()}

    summed, named = linear(), linear()
    bias = summed.heads[0].bias.detach().clone()
    result = run_toy(summed, PLAIN, compute, tmp_path / "sum", level=Level(objective=terms))
    steps = 8
    moved = (bias - summed.heads[0].bias) / (0.1 * steps)
    assert moved.tolist() == pytest.approx([1.0, 2.0], rel=1e-4)
    entry = result.history[0]
    assert entry["loss"] == pytest.approx(entry["first"] + entry["second"], rel=1e-5)

    def with_loss(step: Step) -> dict[str, Tensor]:
        return {**terms(step), "loss": step.outputs["toy"].logits[:, 0].mean()}

    run_toy(named, PLAIN, compute, tmp_path / "named", level=Level(objective=with_loss))
    moved = (bias - named.heads[0].bias) / (0.1 * steps)
    assert moved.tolist() == pytest.approx([1.0, 0.0], abs=1e-4)


def test_extra_entries_are_means_over_the_samples_of_an_epoch(compute: Compute, tmp_path: Path) -> None:
    """Batches of 16, 16, 16 and 12: a mean of batch means would be another number."""

    def objective(step: Step) -> dict[str, Tensor]:
        return {"loss": step.loss_of(F.cross_entropy), "size": torch.tensor(float(len(step.targets)))}

    result = run_toy(linear(), PLAIN, compute, tmp_path, level=Level(objective=objective))
    assert result.history[0]["size"] == pytest.approx((3 * BATCH**2 + 12**2) / SAMPLES)

    def wrong(step: Step) -> dict[str, Tensor]:
        return {"loss": step.loss_of(F.cross_entropy), "lr": torch.tensor(1.0)}

    with pytest.raises(LtbenchError, match="the objective answers 'lr', a name of the log's own"):
        run_toy(linear(), PLAIN, compute, tmp_path / "wrong", level=Level(objective=wrong))


def test_a_step_knows_where_the_training_stands(compute: Compute, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int, int, float, float]] = []

    def objective(step: Step) -> Tensor:
        seen.append((step.epoch, step.epochs, step.step, step.steps, step.progress, step.factor))
        return step.loss_of(F.cross_entropy)

    optim = OptimConfig(epochs=3, lr=0.1, schedule="step", milestones=(1, 2))
    run_toy(linear(), optim, compute, tmp_path, level=Level(objective=objective))
    assert [entry[:4] for entry in seen] == [(number // 4, 3, number, 12) for number in range(12)]
    assert [entry[4] for entry in seen] == [number / 12 for number in range(12)]
    assert [entry[5] for entry in seen] == pytest.approx([1.0] * 4 + [0.1] * 4 + [0.01] * 4)


def test_a_step_draws_the_same_whenever_it_is_taken(compute: Compute, tmp_path: Path) -> None:
    drawn: list[list[float]] = []

    def objective(step: Step) -> Tensor:
        drawn[-1].extend([*step.draws.uniform(-1).tolist(), float(torch.rand((), generator=step.generator))])
        return step.loss_of(F.cross_entropy)

    for run in ("first", "second"):
        drawn.append([])
        run_toy(linear(), PLAIN, compute, tmp_path / run, level=Level(objective=objective))
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == len(drawn[0]) == 2 * (SAMPLES + 4)


def sharpness_aware(rho: float):
    """Foret et al. 2021: the gradient at w + rho g / |g|, applied at w."""

    def update(step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        optimizer.zero_grad()
        loss = F.cross_entropy(step.outputs["toy"].logits, step.targets)
        step.backward(loss)
        norm = torch.stack([each.grad.norm() for each in parameters]).norm()
        climbed = [rho * each.grad / norm for each in parameters]
        with torch.no_grad():
            for parameter, change in zip(parameters, climbed, strict=True):
                parameter.add_(change)
        optimizer.zero_grad()
        step.backward(F.cross_entropy(step.forward(step.images)["toy"].logits, step.targets))
        with torch.no_grad():
            for parameter, change in zip(parameters, climbed, strict=True):
                parameter.sub_(change)
        optimizer.step()
        return loss

    return update


def numpy_sam(rho: float, lr: float, trainee: Trainee, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    w = trainee.heads[0].weight.detach().double().numpy().copy()
    b = trainee.heads[0].bias.detach().double().numpy().copy()

    def gradients(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = x @ w.T + b
        p = np.exp(z - z.max(1, keepdims=True))
        p = p / p.sum(1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        return p.T @ x / len(y), p.mean(0)

    for epoch in range(epochs):
        for batch in batches(epoch):
            x, y = batch.views[0].double().numpy(), batch.targets.numpy()
            gw, gb = gradients(w, b, x, y)
            norm = math.sqrt((gw**2).sum() + (gb**2).sum())
            gw, gb = gradients(w + rho * gw / norm, b + rho * gb / norm, x, y)
            w, b = w - lr * gw, b - lr * gb
    return w, b


def test_sharpness_aware_minimisation_is_an_update(compute: Compute, tmp_path: Path) -> None:
    trainee = linear()
    w, b = numpy_sam(0.5, 0.1, trainee, 2)
    aware = linear()
    run_toy(
        aware,
        PLAIN,
        compute,
        tmp_path / "all",
        level=Level(update=sharpness_aware(0.5)),
    )
    np.testing.assert_allclose(aware.heads[0].weight.detach().numpy(), w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(aware.heads[0].bias.detach().numpy(), b, rtol=1e-4, atol=1e-5)
    plain = linear()
    run_toy(plain, PLAIN, compute, tmp_path / "plain")
    assert not torch.allclose(plain.heads[0].weight, aware.heads[0].weight, rtol=1e-3)


def test_what_an_update_cannot_have_is_refused(tmp_path: Path) -> None:
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", gradient_accumulation=2))
    with pytest.raises(UsageError, match=r"^compute.gradient_accumulation = 2: this method does its steps itself"):
        run_toy(linear(), PLAIN, compute, tmp_path, level=Level(update=sharpness_aware(0.1)))


def test_only_an_update_goes_backward_itself(compute: Compute, tmp_path: Path) -> None:
    def objective(step: Step) -> Tensor:
        step.backward(step.loss_of(F.cross_entropy))
        return torch.zeros(())

    with pytest.raises(LtbenchError, match=r"^step.backward is for an 'update'"):
        run_toy(linear(), PLAIN, compute, tmp_path, level=Level(objective=objective))


@pytest.mark.parametrize("pieces", [2, 3])
def test_gradient_accumulation_changes_no_weight_of_an_objective(tmp_path: Path, pieces: int) -> None:
    found = []
    for accumulation in (1, pieces):
        compute = Compute(ComputeConfig(device="cpu", precision="fp32", gradient_accumulation=accumulation))
        trainee = linear()
        level = Level(objective=lambda step: step.loss_of(F.cross_entropy) * (1 + step.draws.uniform(1).sum()))
        run_toy(trainee, PLAIN, compute, tmp_path / str(accumulation), level=level)
        found.append(weights(trainee))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
