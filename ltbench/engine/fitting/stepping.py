"""How one batch changes the weights, on the three levels of the contract: a loss, an objective, an update."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

from torch import Generator, Tensor, nn

from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.loading import SMALLEST
from ltbench.errors import LtbenchError, UsageError
from ltbench.training.request import Loss, Objective, Update
from ltbench.training.step import Clock, Engine, Minibatch, Step, minimised

RESERVED = ("lr", "val_accuracy", "seconds")
"""Names in an epoch's metrics that no entry of an objective can have."""


class Level(NamedTuple):
    """What is minimised: one of the three, and the label smoothing.

    Attributes:
        loss: of the logits of every member.
        objective: of everything about the batch.
        update: the step itself.
        smoothing: label smoothing.
    """

    loss: Loss | None = None
    objective: Objective | None = None
    update: Update | None = None
    smoothing: float = 0.0

    @property
    def open(self) -> bool:
        """More than a loss: outputs may be unused, or computed more than once."""
        return self.loss is None


class Stepper:
    """Takes the steps of one training.

    Args:
        level: what is minimised.
        model: what to call for outputs.
        optimizer: of the model's parameters, as accelerate prepared it.
        learning: every parameter that learns. Where ``average`` says so their gradients are averaged here, over the
            processes; else the model does it.
        stream: (epoch, step) -> a generator of its own.
    """

    def __init__(
        self,
        level: Level,
        compute: Compute,
        model: nn.Module,
        optimizer: Any,
        learning: list[nn.Parameter],
        average: bool,
        stream: Callable[[int, int], Generator],
    ) -> None:
        self.level, self.compute, self.model, self.optimizer = level, compute, model, optimizer
        self.learning, self.average, self.stream = learning, average, stream
        if level.update is not None:
            _check_update(compute)

    def take(self, batch: Minibatch, clock: Clock) -> dict[str, Tensor]:
        """One step; what came of it: ``loss`` and the objective's other entries, means over this process's samples."""
        if self.level.update is not None:
            step = self._step(batch, clock, self._backward_and_average)
            return {"loss": self.level.update(step, self.optimizer.optimizer).detach()}
        self.optimizer.zero_grad()
        terms = self._descend(batch, clock)
        self.optimizer.step()
        return terms

    def _descend(self, batch: Minibatch, clock: Clock) -> dict[str, Tensor]:
        """Gradients of the batch's mean loss, in ``gradient_accumulation`` pieces."""
        pieces = batch.pieces(max(1, min(self.compute.config.gradient_accumulation, len(batch) // SMALLEST)))
        total: dict[str, Tensor] = {}
        for position, piece in enumerate(pieces):
            waits = not self.average and position < len(pieces) - 1
            with self.compute.accelerator.no_sync(self.model) if waits else nullcontext():
                terms = self._terms(self._step(piece, clock, None))
                share = len(piece) / len(batch)
                self._backward(terms["loss"] * share, batch)
            for name, value in terms.items():
                total[name] = total.get(name, 0) + value.detach() * share
        if self.average:
            self.compute.average_gradients(self.learning)
        return total

    def _terms(self, step: Step) -> Mapping[str, Tensor]:
        if self.level.objective is None:
            assert self.level.loss is not None
            return {"loss": step.loss_of(self.level.loss)}
        answer = self.level.objective(step)
        named = {} if isinstance(answer, Tensor) else answer
        if wrong := set(named) & set(RESERVED):
            raise LtbenchError(f"the objective answers '{min(wrong)}', a name of the log's own; choose another.")
        return {"loss": minimised(answer), **named}

    def _step(self, batch: Minibatch, clock: Clock, backward: Callable[[Tensor, Minibatch], None] | None) -> Step:
        engine = Engine(
            forward=self.model,
            generator=lambda: self.stream(clock.epoch, clock.step),
            backward=backward,
            gather=self._gather,
            smoothing=self.level.smoothing,
        )
        return Step(batch, clock, engine)

    def _gather(self, values: Tensor, batch: Minibatch) -> Tensor:
        return self.compute.gather(values, batch.places, batch.total)

    def _backward(self, value: Tensor, batch: Minibatch) -> None:
        """Gradients are averaged over the processes, whose parts may differ by a sample: ``balance`` makes up for that."""
        balance = len(batch) * self.compute.world / batch.total
        self.compute.accelerator.backward(value * balance if balance != 1 else value)

    def _backward_and_average(self, value: Tensor, batch: Minibatch) -> None:
        self._backward(value, batch)
        self.compute.average_gradients(self.learning)


def _check_update(compute: Compute) -> None:
    """Raises UsageError for what an update of a method's own cannot do."""
    if compute.config.gradient_accumulation > 1:
        raise UsageError(
            f"compute.gradient_accumulation = {compute.config.gradient_accumulation}: this method does its steps itself, on "
            "whole batches; set it to 1."
        )
    if compute.precision == "fp16":
        raise UsageError(
            "compute.precision = 'fp16': this method does its steps itself, without scaling; use bf16 or fp32."
        )
