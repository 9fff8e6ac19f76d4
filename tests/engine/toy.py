"""Two clouds of points and a classifier of them: a training of the loop without images, data folders or stages."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.engine.fitting.checkpoint import Checkpoint
from ltbench.engine.fitting.loop import Task, train
from ltbench.engine.fitting.stepping import Level
from ltbench.engine.fitting.trainee import Trainee
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.progress import Bar
from ltbench.engine.machine.seeding import seed_globals, stream
from ltbench.training.optim import OptimConfig
from ltbench.training.request import TrainingResult
from ltbench.training.step import Minibatch

SAMPLES, BATCH = 60, 16


def points() -> tuple[Tensor, Tensor]:
    """Inputs float[60, 4] and targets int64[60], two classes 4 standard deviations apart."""
    generator = torch.Generator().manual_seed(7)
    targets = torch.arange(SAMPLES) % 2
    inputs = torch.randn(SAMPLES, 4, generator=generator)
    inputs[:, 0] += 4.0 * targets - 2.0
    return inputs, targets


def whole(inputs: Tensor, targets: Tensor, *views: Tensor) -> Minibatch:
    """A batch on one process."""
    places = torch.arange(len(targets))
    return Minibatch((inputs, *views), targets, places, places, len(targets))


def batches(epoch: int) -> Iterator[Minibatch]:
    """Batches of 16, 16, 16 and 12 points, in another order each epoch."""
    inputs, targets = points()
    for chosen in torch.randperm(SAMPLES, generator=stream(0, "toy", epoch)).split(BATCH):
        yield whole(inputs[chosen], targets[chosen])


def trainee_of(*heads: nn.Module) -> Trainee:
    """Members ``toy``, ``toy1``, ... on the points themselves."""
    return Trainee({f"toy{number or ''}": (None, head) for number, head in enumerate(heads)})


def linear(hidden: nn.Module | None = None) -> Trainee:
    torch.manual_seed(3)
    head = nn.Linear(4, 2)
    return trainee_of(head if hidden is None else nn.Sequential(nn.Linear(4, 4), hidden, head))


def accuracy(trainee: Trainee) -> float:
    inputs, targets = points()
    with torch.no_grad():
        return 100.0 * float((trainee.eval()(inputs)["toy"].logits.argmax(dim=1) == targets).float().mean())


def run_toy(
    trainee: Trainee,
    optim: OptimConfig,
    compute: Compute,
    folder: Path,
    *,
    validate: Callable[[Trainee], float] | None = None,
    after_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
    level: Level = Level(loss=F.cross_entropy),
    keep: Any = None,
    parameter_groups: Any = None,
    data: Callable[[int], Iterator[Minibatch]] = batches,
) -> TrainingResult:
    """The training loop on the points; validation is on the training points unless told otherwise."""
    task = Task(
        trainee=trainee,
        optim=optim,
        batches=data,
        steps_per_epoch=len(list(data(0))),
        level=level,
        validate=validate or accuracy,
        before_epoch=lambda epoch: seed_globals(epoch),
        after_epoch=after_epoch,
        stream=lambda epoch, step: stream(0, "toy", "step", epoch, step),
        parameter_groups=parameter_groups,
        keep=keep or {},
    )
    return train(task, compute, Checkpoint(folder, "toy"), Bar("toy", optim.epochs, task.steps_per_epoch, None))
