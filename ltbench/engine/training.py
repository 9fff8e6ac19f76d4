"""The one training loop: SGD by epochs, selected on validation accuracy, resumable after every epoch."""

import inspect
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ltbench.engine.checkpoint import Checkpoint, Progress
from ltbench.engine.compute import Compute
from ltbench.engine.loading import SMALLEST
from ltbench.engine.progress import Bar
from ltbench.errors import DataError, LtbenchError
from ltbench.method import Loss, TrainingResult
from ltbench.optim import OptimConfig


class Trainee(nn.Module):
    """What the optimiser sees: backbone and head, or the head alone on cached features. Answers (logits, features)."""

    def __init__(self, backbone: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features = inputs if self.backbone is None else self.backbone(inputs)
        return self.head(features), features


class Part(NamedTuple):
    """What one process has of a batch, on the device.

    Attributes:
        inputs: images float[B, C, H, W] or features float[B, D].
        targets: int64[B].
        total: samples of the whole batch.
    """

    inputs: Tensor
    targets: Tensor
    total: int


@dataclass(frozen=True)
class Task:
    """One training, everything but the loop.

    Attributes:
        trainee: trained in place.
        optim: settings; ``epochs`` already holds the planned number.
        batches: epoch (from 0) -> this process's part of each batch.
        steps_per_epoch: number of those.
        loss: see :data:`ltbench.method.Loss`.
        validate: validation accuracy in percent of the trainee as it is; the main process's counts.
        before_epoch: called with the epoch, to seed what draws from global generators.
        after_epoch: called with the epoch (from 1) and its metrics.
        parameter_groups: optimiser groups; None: all learnable parameters in one.
    """

    trainee: Trainee
    optim: OptimConfig
    batches: Callable[[int], Iterable[Part]]
    steps_per_epoch: int
    loss: Loss
    validate: Callable[[], float]
    before_epoch: Callable[[int], None]
    after_epoch: Callable[[int, dict[str, float]], None]
    parameter_groups: Sequence[Mapping[str, Any]] | None = None


def train(task: Task, compute: Compute, checkpoint: Checkpoint, bar: Bar) -> TrainingResult:
    """Run the loop; the trainee ends with the weights of the best validation epoch.

    Raises:
        LtbenchError: the loss is no longer finite.
    """
    accelerator, optim = compute.accelerator, task.optim
    groups = task.parameter_groups or [{"params": [p for p in task.trainee.parameters() if p.requires_grad]}]
    optimizer = torch.optim.SGD(
        [dict(group) for group in groups],
        lr=optim.lr,
        momentum=optim.momentum,
        nesterov=optim.nesterov,
        weight_decay=optim.weight_decay,
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    progress = checkpoint.load(task.trainee, optimizer) if checkpoint.usable(compute) else Progress()
    if progress.epochs_done != compute.agree(progress.epochs_done):
        raise DataError(f"{checkpoint.path}: this process does not see the checkpoint that the main one goes on from.")
    if progress.finished(optim):
        progress.restore_best(task.trainee)
        return progress.result()
    model, prepared = accelerator.prepare(task.trainee, optimizer)
    try:
        for epoch in range(progress.epochs_done, optim.epochs):
            started = time.perf_counter()
            task.before_epoch(epoch)
            model.train()
            mean_loss = _epoch(task, compute, model, prepared, peaks, epoch, bar)
            if not math.isfinite(mean_loss):
                raise LtbenchError(
                    f"{bar.label}: the loss is {mean_loss} in epoch {epoch + 1}; lower the learning rate (optim.lr = {optim.lr})."
                )
            compute.share_buffers(task.trainee)
            metrics = {
                "loss": mean_loss,
                "lr": optim.lr * optim.factor(epoch * task.steps_per_epoch, task.steps_per_epoch, optim.epochs),
            }
            if optim.validates(epoch + 1, optim.epochs):
                metrics["val_accuracy"] = compute.agree(task.validate())
            metrics["seconds"] = time.perf_counter() - started
            progress.add(metrics, task.trainee)
            bar.epoch(epoch + 1, metrics)
            task.after_epoch(epoch + 1, metrics)
            stop = progress.finished(optim)
            if compute.is_main:
                checkpoint.save(progress, task.trainee, optimizer, force=stop)
            if stop:
                break
    finally:
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        accelerator.free_memory()
    progress.restore_best(task.trainee)
    return progress.result()


def _epoch(
    task: Task, compute: Compute, model: nn.Module, optimizer: Any, peaks: list[float], epoch: int, bar: Bar
) -> float:
    """One pass; returns the mean loss over its samples, those of all processes."""
    total, seen = torch.zeros((), device=compute.device), 0
    for step, part in enumerate(task.batches(epoch)):
        factor = task.optim.factor(epoch * task.steps_per_epoch + step, task.steps_per_epoch, task.optim.epochs)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        optimizer.zero_grad()
        total += _backward(task.loss, compute, model, part) * len(part.targets)
        optimizer.step()
        seen += len(part.targets)
        bar.step(epoch, total, seen)
    loss, samples = compute.total(torch.stack([total, total.new_tensor(seen)])).tolist()
    return loss / max(1, samples)


def _backward(loss: Loss, compute: Compute, model: nn.Module, part: Part) -> Tensor:
    """Gradients of the batch's mean loss, in ``gradient_accumulation`` pieces; returns the mean over this part, detached.

    Gradients are averaged over the processes, whose parts may differ by a sample: ``balance`` makes up for that.
    """
    inputs, targets, balance = part.inputs, part.targets, len(part.targets) * compute.world / part.total
    pieces = max(1, min(compute.config.gradient_accumulation, len(targets) // SMALLEST))
    total = torch.zeros((), device=compute.device)
    for position, (piece, wanted) in enumerate(
        zip(inputs.tensor_split(pieces), targets.tensor_split(pieces), strict=True)
    ):
        last = position == pieces - 1
        with nullcontext() if last else compute.accelerator.no_sync(model):
            logits, features = model(piece)
            value = call_loss(loss, logits, wanted, features) * (len(wanted) / len(targets))
            compute.accelerator.backward(value * balance if balance != 1 else value)
        total += value.detach()
    return total


def call_loss(loss: Loss, logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
    """``loss(logits, targets)``, with ``features`` too where the loss names that parameter."""
    if "features" in inspect.signature(loss).parameters:
        return loss(logits, targets, features=features)
    return loss(logits, targets)
