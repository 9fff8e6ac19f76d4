"""The one training loop: epochs of steps, selected on validation accuracy, resumable after every epoch."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from timm.utils import ModelEmaV3
from torch import Generator, Tensor, nn

from ltbench.engine.fitting.checkpoint import Checkpoint, Progress
from ltbench.engine.fitting.optimizers import make_optimizer
from ltbench.engine.fitting.spent import inputs_of, worked
from ltbench.engine.fitting.stepping import Level, Stepper
from ltbench.engine.fitting.trainee import Trainee
from ltbench.engine.machine.compute import Compute
from ltbench.errors import DataError, LtbenchError, StopRun
from ltbench.training.optim import OptimConfig
from ltbench.training.request import Kept, TrainingResult
from ltbench.training.step import Clock, Minibatch

if TYPE_CHECKING:
    from ltbench.engine.machine.progress import Bar


@dataclass(frozen=True)
class Task:
    """One training, everything but the loop.

    Attributes:
        trainee: trained in place.
        optim: settings; ``epochs`` already holds the planned number.
        batches: epoch (from 0) -> this process's part of each batch.
        steps_per_epoch: number of those.
        level: what is minimised.
        validate: validation accuracy in percent of a trainee as it is; the main process's counts.
        before_epoch: called with the epoch, to seed what draws from global generators.
        after_epoch: called with the epoch (from 1) and its metrics.
        stream: (epoch, step) -> the generator of a step.
        parameter_groups: optimiser groups; None: all learnable parameters, as the settings group them.
        keep: see :class:`ltbench.training.request.Training`.
        count: called once, with what was reached and the seconds that an attempt which was killed had taken.
    """

    trainee: Trainee
    optim: OptimConfig
    batches: Callable[[int], Iterable[Minibatch]]
    steps_per_epoch: int
    level: Level
    validate: Callable[[Trainee], float]
    before_epoch: Callable[[int], None]
    after_epoch: Callable[[int, dict[str, float]], None]
    stream: Callable[[int, int], Generator]
    parameter_groups: Sequence[Mapping[str, Any]] | None = None
    keep: Kept = field(default_factory=dict)
    count: Callable[[Progress, float], None] = lambda progress, earlier: None

    @cached_property
    def kept_modules(self) -> list[nn.Module]:
        return [part for part in self.keep.values() if isinstance(part, nn.Module)]

    @cached_property
    def others(self) -> list[nn.Parameter]:
        """Parameters of kept modules that learn, and that neither the members nor an optimiser of the method's own have."""
        optimizers = [part for part in self.keep.values() if isinstance(part, torch.optim.Optimizer)]
        groups = [*(self.parameter_groups or ()), *(group for own in optimizers for group in own.param_groups)]
        taken = {id(each) for group in groups for each in group["params"]}
        taken |= {id(each) for each in self.trainee.parameters()}
        distinct = {id(each): each for module in self.kept_modules for each in module.parameters()}
        return [each for number, each in distinct.items() if each.requires_grad and number not in taken]

    @property
    def learning(self) -> list[nn.Parameter]:
        """All that learns."""
        modules = [self.trainee, *self.kept_modules]
        distinct = {id(each): each for module in modules for each in module.parameters()}
        return [each for each in distinct.values() if each.requires_grad]


def train(task: Task, compute: Compute, checkpoint: Checkpoint, bar: "Bar") -> TrainingResult:
    """Run the loop; the trainee ends with the weights of the best validation epoch.

    Raises:
        StopRun: ``after_epoch`` does; the epoch is in the checkpoint.
        LtbenchError: the loss is no longer finite.
    """
    for module in task.kept_modules:
        compute.place(module)
    optim, trainee = task.optim, task.trainee
    optimizer = make_optimizer(optim, trainee, task.others, task.parameter_groups)
    peaks = [float(group["lr"]) for group in optimizer.param_groups]
    average = ModelEmaV3(trainee, optim.ema, use_warmup=optim.ema_warmup) if optim.ema else None
    if average is not None:
        compute.compile(average.module)
    result: Trainee = average.module if average is not None else trainee
    kept = {"model": trainee, "optimizer": optimizer, **{f"keep {name}": part for name, part in task.keep.items()}}
    if average is not None:
        kept["average"] = result
    progress, more = checkpoint.load(kept) if checkpoint.usable(compute) else (Progress(), {})
    compute.set_scale(more.get("scale"))
    if progress.epochs_done != compute.from_main(progress.epochs_done):
        raise DataError(f"{checkpoint.path}: this process does not see the checkpoint that the main one goes on from.")
    earlier, clock = progress.seconds, worked(compute.device)
    if not progress.finished(optim):
        loop = _Loop(task, compute, optimizer, peaks, average, bar)
        try:
            for epoch in range(progress.epochs_done, optim.epochs):
                metrics = loop.epoch(epoch, result)
                progress.add(metrics, result)
                progress.inputs += loop.inputs
                progress.stepped |= loop.stepped
                progress.seconds = earlier + worked(compute.device) - clock
                bar.epoch(epoch + 1, metrics)
                stop = _stop_after(task, epoch + 1, metrics)
                ends = stop is not None or progress.finished(optim)
                if compute.is_main:
                    checkpoint.save(progress, kept, force=ends, scale=compute.scale())
                if stop is not None:
                    raise stop
                if ends:
                    break
        finally:
            loop.close()
    progress.restore_best(trainee)
    task.count(progress, earlier)
    return progress.result()


def _stop_after(task: Task, epoch: int, metrics: dict[str, float]) -> StopRun | None:
    """Say that an epoch is done; what a plugin stops the run with, after the epoch has been kept."""
    try:
        task.after_epoch(epoch, metrics)
    except StopRun as stop:
        return stop
    return None


class _Loop:
    """The epochs of a training, with all that is prepared for them.

    Attributes:
        inputs: samples times views of the last epoch, of all processes.
        stepped: an optimiser has changed weights.
    """

    def __init__(
        self,
        task: Task,
        compute: Compute,
        optimizer: torch.optim.Optimizer,
        peaks: list[float],
        average: ModelEmaV3 | None,
        bar: "Bar",
    ) -> None:
        self.task, self.compute, self.peaks, self.average, self.bar = task, compute, peaks, average, bar
        self.inputs, self.stepped = 0, False
        self._watch(optimizer, *(part for part in task.keep.values() if isinstance(part, torch.optim.Optimizer)))
        accelerator = compute.accelerator
        # Of an open level outputs may be unused and forward passes several: no wrapper that counts gradients can hold that.
        by_hand = task.level.open or bool(task.keep)
        self.model = accelerator.prepare_model(task.trainee, evaluation_mode=by_hand)
        self.optimizer = accelerator.prepare_optimizer(optimizer)
        if by_hand:
            for module in (task.trainee, *task.kept_modules):
                compute.share_state(module)
        self.stepper = Stepper(task.level, compute, self.model, self.optimizer, task.learning, by_hand, task.stream)

    def epoch(self, epoch: int, result: Trainee) -> dict[str, float]:
        """One pass and, where it is due, a validation of ``result``; the metrics."""
        task, compute, started = self.task, self.compute, time.perf_counter()
        task.before_epoch(epoch)
        self.model.train()
        metrics = self._pass(epoch)
        if not math.isfinite(metrics["loss"]):
            raise LtbenchError(
                f"{self.bar.label}: the loss is {metrics['loss']} in epoch {epoch + 1}; lower the learning rate "
                f"(optim.lr = {task.optim.lr})."
            )
        for module in dict.fromkeys((task.trainee, result, *task.kept_modules)):
            compute.share_buffers(module)
        metrics["lr"] = task.optim.lr * self._factor(epoch * task.steps_per_epoch)
        if task.optim.validates(epoch + 1, task.optim.epochs):
            metrics["val_accuracy"] = compute.from_main(task.validate(result))
        metrics["seconds"] = time.perf_counter() - started
        return metrics

    def _pass(self, epoch: int) -> dict[str, float]:
        """Means over the samples of all processes."""
        task, sums, seen, self.inputs = self.task, dict[str, Tensor](), 0, 0
        steps = task.steps_per_epoch
        for position, batch in enumerate(task.batches(epoch)):
            number = epoch * steps + position
            clock = Clock(epoch, task.optim.epochs, number, task.optim.epochs * steps, self._factor(number))
            for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = peak * clock.factor
            for name, value in self.stepper.take(batch, clock).items():
                sums[name] = sums.get(name, 0) + value * len(batch)
            if self.average is not None:
                self.average.update(task.trainee, number + 1)
            seen += len(batch)
            self.inputs += inputs_of(batch)
            self.bar.step(epoch, sums["loss"], seen)
        names = sorted(sums)
        *totals, samples = self.compute.total(
            torch.stack(
                [*(sums[name].float() for name in names), torch.tensor(float(seen), device=self.compute.device)]
            )
        ).tolist()
        return {name: total / max(1, samples) for name, total in zip(names, totals, strict=True)}

    def _factor(self, step: int) -> float:
        return self.task.optim.factor(step, self.task.steps_per_epoch, self.task.optim.epochs)

    def _watch(self, *optimizers: torch.optim.Optimizer) -> None:
        """An update of a method's own need not change weights; whether one does is what is noted."""

        def note(own: torch.optim.Optimizer, arguments: Any, keywords: Any) -> None:
            self.stepped = True

        self._watching = [optimizer.register_step_post_hook(note) for optimizer in optimizers]

    def close(self) -> None:
        for hook in self._watching:
            hook.remove()
        self.compute.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.compute.accelerator.free_memory()
