"""What an objective and an update see of one training step."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ltbench.data.augmentation.draws import Draws
from ltbench.errors import LtbenchError, UsageError
from ltbench.training.mixing import Mixed, soft_targets

__all__ = ["Minibatch", "Output", "Outputs", "Step"]


class Output(NamedTuple):
    """What a member answers: logits float[B, K] (K + 1 with a reject logit) and features float[B, D]."""

    logits: Tensor
    features: Tensor


Outputs = Mapping[str, Output]
"""By the name of the member."""


@dataclass(frozen=True)
class Minibatch:
    """What one process has of a batch, on the device.

    Attributes:
        views: V augmented versions of the same B images, float[B, C, H, W] each; or one of features, float[B, D].
        targets: int64[B], see :class:`ltbench.training.request.Training`.
        indices: int64[B], positions in the training split (among ``features`` where those were given); on the CPU.
        places: int64[B], places of the samples in the whole batch; on the CPU.
        total: samples of the whole batch, over all processes.
        mixed: how the images were mixed; None: they were not.
    """

    views: tuple[Tensor, ...]
    targets: Tensor
    indices: Tensor
    places: Tensor
    total: int
    mixed: Mixed | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def pieces(self, number: int) -> list["Minibatch"]:
        """The batch cut into so many pieces; samples that were mixed with each other stay together."""
        if number <= 1:
            return [self]
        if self.mixed is None:
            cuts = [len(part) for part in self.targets.tensor_split(number)]
        else:
            cuts = [2 * len(part) for part in torch.arange(-(-len(self) // 2)).tensor_split(number)]
            cuts[-1] -= len(self) % 2
        bounds = torch.tensor([0, *cuts]).cumsum(0).tolist()
        return [self._piece(slice(start, stop)) for start, stop in pairwise(bounds)]

    def _piece(self, rows: slice) -> "Minibatch":
        mixed = self.mixed and replace(self.mixed, partner=self.mixed.partner[rows] - rows.start)
        views = tuple(view[rows] for view in self.views)
        return Minibatch(views, self.targets[rows], self.indices[rows], self.places[rows], self.total, mixed)


@dataclass(frozen=True)
class Clock:
    """Where a training stands.

    Attributes:
        epoch: from 0, of ``epochs``.
        step: from 0, of ``steps`` in all epochs.
        factor: what the learning rates are multiplied by in this step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    factor: float = 1.0


class Engine(NamedTuple):
    """What the training loop lends to a step.

    Attributes:
        forward: the members as they are trained (autocast, several processes): inputs -> outputs.
        generator: a new one of this step's stream.
        backward: adds the gradients of a loss, averaged over the processes; None: the loop does it.
        gather: values of this process's samples and their places -> those of the whole batch.
        smoothing: label smoothing.
    """

    forward: Callable[[Tensor], Outputs]
    generator: Callable[[], Generator]
    backward: Callable[[Tensor, Minibatch], None] | None
    gather: Callable[[Tensor, Minibatch], Tensor]
    smoothing: float = 0.0


class Step:
    """One training step, as one process sees it. B is its number of samples: its part of the batch, or a piece of that where
    ``compute.gradient_accumulation`` cuts it.

    Attributes:
        epoch: from 0.
        epochs: how many there are.
        step: from 0, on through all epochs.
        steps: how many there are in all epochs.
        minibatch: the samples as they came.
        factor: what the learning rates are multiplied by in this step.
        total: samples of the whole batch, over all processes.
    """

    def __init__(self, batch: Minibatch, clock: Clock, engine: Engine) -> None:
        self.minibatch, self._clock, self._engine = batch, clock, engine
        self.epoch, self.epochs, self.step, self.steps = clock.epoch, clock.epochs, clock.step, clock.steps
        self.factor, self.total = clock.factor, batch.total

    @property
    def progress(self) -> float:
        """Share of all steps that is done, in [0, 1)."""
        return self.step / self.steps

    @property
    def views(self) -> tuple[Tensor, ...]:
        """V augmented versions of the same B images: float[B, C, H, W] each. Where features are trained on: float[B, D]."""
        return self.minibatch.views

    @property
    def images(self) -> Tensor:
        """The first view: float[B, C, H, W], or features float[B, D]."""
        return self.minibatch.views[0]

    @property
    def targets(self) -> Tensor:
        """int64[B], the target among the logits (see :class:`ltbench.training.request.Training`), of the images before mixing."""
        return self.minibatch.targets

    @property
    def indices(self) -> Tensor:
        """int64[B], positions in the training split; on the CPU."""
        return self.minibatch.indices

    @property
    def batch(self) -> Mixed | None:
        """What a batch transform did (lambda, partner, box), the same to each view; None: nothing."""
        return self.minibatch.mixed

    @property
    def soft_targets(self) -> Tensor:
        """float[B, K]: the targets as distributions over the first member's K logits, smoothed and mixed as the run says."""
        classes = next(iter(self.outputs.values())).logits.shape[1]
        return soft_targets(self.targets, classes, self._engine.smoothing, self.batch)

    @cached_property
    def outputs(self) -> Outputs:
        """Member -> logits float[B, K] and features float[B, D] of the first view, computed when asked for.

        Of several views all are computed in one pass; :meth:`forward` of the images is for the first alone.
        """
        return self.view_outputs[0] if len(self.views) > 1 else self.forward(self.images)

    @cached_property
    def view_outputs(self) -> Sequence[Outputs]:
        """:attr:`outputs` of each view; all are computed in one pass when asked for."""
        if len(self.views) == 1:
            return [self.outputs]
        together = self.forward(torch.cat(self.views))
        rows = [slice(view * len(self.targets), (view + 1) * len(self.targets)) for view in range(len(self.views))]
        return [
            {name: Output(output.logits[part], output.features[part]) for name, output in together.items()}
            for part in rows
        ]

    def forward(self, images: Tensor) -> Outputs:
        """Member -> logits and features of any ``images`` float[N, C, H, W] (or features float[N, D])."""
        return self._engine.forward(images)

    @cached_property
    def generator(self) -> Generator:
        """A CPU stream of this step alone, the same on every process: for what is drawn once for the batch."""
        return self._engine.generator()

    @cached_property
    def draws(self) -> Draws:
        """Random numbers for each of the B samples, drawn for the whole batch from :attr:`generator`: they do not depend on the
        number of processes."""
        return Draws(self.generator, self.total, self.minibatch.places)

    def gather(self, values: Tensor) -> Tensor:
        """``values`` [B, ...] of this process's samples -> [total, ...] of the whole batch in its order, without gradient.

        What a queue or a running mean learns from must be gathered, so that it is the same on every process. Not where
        ``compute.gradient_accumulation`` cuts the batch: then it is [B, ...] of the piece, over all processes.
        """
        return self._engine.gather(values.detach(), self.minibatch)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss``, a mean over the B samples, to the parameters', averaged over the processes.

        Raises:
            LtbenchError: called in an ``objective``; it is for an ``update``.
        """
        if self._engine.backward is None:
            raise LtbenchError("step.backward is for an 'update'; an 'objective' returns what is to be minimised.")
        self._engine.backward(loss, self.minibatch)

    def loss_of(self, loss: Callable[..., Tensor], output: Output | None = None) -> Tensor:
        """``loss(logits, targets)`` as the run's batch transforms say: of mixed images lambda times that of the one target plus
        (1 - lambda) times that of the other; with label smoothing, ``loss`` gets targets float[B, K].

        Args:
            loss: see :data:`ltbench.training.request.Loss`.
            output: by default the only member's, of the first view; of several members the sum.

        Returns:
            A scalar.

        Raises:
            UsageError: with label smoothing, the loss takes no targets float[B, K].
        """
        if output is None:
            losses = [self.loss_of(loss, each) for each in self.outputs.values()]
            return losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        more = {"features": output.features} if takes_features(loss) else {}
        if self._engine.smoothing:
            return self._smoothed(loss, output, more)
        value = loss(output.logits, self.targets, **more)
        if self.batch is None:
            return value
        others = self.targets[self.batch.partner.to(self.targets.device)]
        return self.batch.lam * value + (1 - self.batch.lam) * loss(output.logits, others, **more)

    def _smoothed(self, loss: Callable[..., Tensor], output: Output, more: dict[str, Tensor]) -> Tensor:
        smoothing = self._engine.smoothing
        try:
            targets = soft_targets(self.targets, output.logits.shape[1], smoothing, self.batch)
            return loss(output.logits, targets, **more)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise UsageError(
                f"mixing.label_smoothing = {smoothing}: the loss takes no targets float[B, K] "
                f"({str(error).splitlines()[0]}); write it with cross_entropy, or set it to 0."
            ) from error


def minimised(answer: Tensor | Mapping[str, Tensor]) -> Tensor:
    """What is minimised of an objective's answer: the tensor, the entry ``loss``, or the sum of all entries."""
    if isinstance(answer, Tensor):
        return answer
    return answer["loss"] if "loss" in answer else torch.stack(list(answer.values())).sum()


def takes_features(loss: Callable[..., Tensor]) -> bool:
    """Whether a loss names a third parameter ``features``; its signature is read once."""
    return _names_features(getattr(loss, "__func__", loss))


@lru_cache(maxsize=64)
def _names_features(function: Callable[..., Tensor]) -> bool:
    return "features" in inspect.signature(function).parameters
