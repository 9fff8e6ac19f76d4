"""What the trainings of a stage take, counted beside them. Nothing that is counted decides a number of the stage."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from ltbench.training.step import Minibatch


@dataclass
class Counts:
    """Samples that were trained on, and the time that it took.

    Attributes:
        images: samples times views that were trained on as images, in all epochs and on all processes.
        features: the same of stored features.
        seconds: that this process's device worked, see :func:`worked`.
    """

    images: int = 0
    features: int = 0
    seconds: float = 0.0


@dataclass
class Spent:
    """Of one stage, by a ``fit`` that may go on from where an earlier one was killed: what that one did counts, too.

    Attributes:
        counts: of all trainings; ``seconds`` are those of the earlier one alone.
        extracted: training images times views whose features were asked for, kept ones or not.
        learned: parameters that learned, of members and of what they were trained with.
    """

    counts: Counts = field(default_factory=Counts)
    extracted: int = 0
    learned: int = 0
    _known: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary)

    def trained(self, inputs: int, of_images: bool, earlier: float = 0.0) -> None:
        """Note samples times views, and the seconds of an earlier attempt."""
        if of_images:
            self.counts.images += inputs
        else:
            self.counts.features += inputs
        self.counts.seconds += earlier

    def counted(self, batches: Iterable[Minibatch], of_images: bool) -> Iterator[Minibatch]:
        """The batches as they are, noted as they are taken."""
        for batch in batches:
            self.trained(inputs_of(batch), of_images)
            yield batch

    def learning(self, parameters: Iterable[nn.Parameter]) -> None:
        """Note what learns; a parameter that learns in several trainings counts once."""
        for parameter in parameters:
            if parameter.requires_grad and parameter not in self._known:
                self._known[parameter] = True
                self.learned += parameter.numel()

    def goes_on_from(self, standing: dict[str, Any]) -> None:
        """Add :class:`Counts` of an earlier attempt, as :meth:`since` gave them."""
        for name, value in standing.items():
            setattr(self.counts, name, getattr(self.counts, name) + value)

    def since(self, before: Counts) -> dict[str, Any]:
        """What was counted since then, as plain values."""
        now, then = asdict(self.counts), asdict(before)
        return {name: value - then[name] for name, value in now.items()}


def inputs_of(batch: Minibatch) -> int:
    """Samples of the whole batch, over all processes, times views."""
    return batch.total * len(batch.views)


def worked(device: torch.device) -> float:
    """A clock of the device's work in seconds: on a CPU processor time of this process and of those that it started and that
    have ended, elsewhere the wall clock."""
    if device.type != "cpu":
        return time.perf_counter()
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
