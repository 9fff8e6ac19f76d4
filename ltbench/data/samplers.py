"""Which training samples an epoch holds, and in which order.

A sampler gives the whole epoch's order at once, as a pure function of the epoch and a generator: every process computes
the same order, the engine cuts it into consecutive batches and shards each batch over the processes.
"""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from ltbench.errors import UsageError

__all__ = [
    "ClassAwareSampler",
    "ClassBalancedSampler",
    "EpochSampler",
    "InstanceSampler",
    "MixedBatchSampler",
    "RejectSampler",
    "SubsetSampler",
]


class EpochSampler(ABC):
    """The order of training positions in each epoch."""

    @abstractmethod
    def __len__(self) -> int:
        """Samples in an epoch."""

    @abstractmethod
    def indices(self, epoch: int, generator: Generator) -> Tensor:
        """Positions in the training split: int64[len(self)].

        Args:
            epoch: counts from 0.
            generator: a CPU generator for this epoch alone; the result depends on nothing else that is random.
        """


class SubsetSampler(EpochSampler):
    """Every one of ``positions`` (int64[N], in the training split) once, shuffled. Raises UsageError where there is none."""

    def __init__(self, positions: Tensor) -> None:
        self.positions = _positions(positions)

    def __len__(self) -> int:
        return len(self.positions)

    def indices(self, epoch: int, generator: Generator) -> Tensor:
        return _cycled(self.positions, len(self), generator)


class InstanceSampler(SubsetSampler):
    """Instance-balanced sampling: every one of ``num_samples`` samples once, shuffled."""

    def __init__(self, num_samples: int) -> None:
        super().__init__(torch.arange(num_samples))


class ClassBalancedSampler(EpochSampler):
    """Class-balanced sampling: each draw takes a class uniformly among those present, then a sample of it.

    The draws of a class pass through a permutation of its samples before any of them repeats.

    Args:
        labels: int64[N], the class of every training sample.
        length: draws in an epoch; by default N.
    """

    def __init__(self, labels: Tensor, length: int | None = None) -> None:
        self._by_class = _SamplesByClass(labels)
        self._length = len(labels) if length is None else length

    def __len__(self) -> int:
        return self._length

    def indices(self, epoch: int, generator: Generator) -> Tensor:
        classes = torch.randint(self._by_class.num_classes, (len(self),), generator=generator)
        return self._by_class.draw(classes, generator)


class ClassAwareSampler(EpochSampler):
    """Batches of ``batch_size / per_class`` classes with ``per_class`` samples each (Shen et al. 2016, as in OLTR).

    The classes pass through one permutation after the other, and so do the samples of each class.

    Args:
        labels: int64[N], the class of every training sample.
        batch_size: a multiple of ``per_class``.
        per_class: samples of a class each time that its turn comes.
        length: draws in an epoch; by default N.

    Raises:
        UsageError: ``batch_size`` is no multiple of ``per_class``.
    """

    def __init__(self, labels: Tensor, batch_size: int, per_class: int = 4, length: int | None = None) -> None:
        if batch_size % per_class:
            raise UsageError(
                f"class-aware sampling: the batch size {batch_size} is no multiple of the {per_class} samples a class"
            )
        self._by_class = _SamplesByClass(labels)
        self._per_class = per_class
        self._length = len(labels) if length is None else length

    def __len__(self) -> int:
        return self._length

    def indices(self, epoch: int, generator: Generator) -> Tensor:
        turns = -(-len(self) // self._per_class)
        classes = _cycled(torch.arange(self._by_class.num_classes), turns, generator)
        return self._by_class.draw(classes.repeat_interleave(self._per_class)[: len(self)], generator)


class RejectSampler(EpochSampler):
    """An expert's samples and an undersampled reject class (Sharma et al. 2020, Sec. 3.2.1), shuffled together.

    Args:
        inside: int64[N], positions of the expert's own classes.
        outside: int64[M], positions of all other classes.
        used: how many of ``outside`` an epoch holds.
        generator: draws those once and for all; needed unless ``redraw``.
        redraw: draw them afresh each epoch.

    Raises:
        UsageError: ``used`` is more than M, or there is no sample inside.
        ValueError: neither ``redraw`` nor a generator.
    """

    def __init__(
        self, inside: Tensor, outside: Tensor, used: int, redraw: bool = False, generator: Generator | None = None
    ) -> None:
        if not 0 <= used <= len(outside):
            raise UsageError(
                f"{used} reject samples asked for, but {len(outside)} samples lie outside the expert's classes"
            )
        if not redraw and generator is None:
            raise ValueError("a fixed draw of the reject class needs a generator")
        self._inside = _positions(inside)
        self._outside = outside if redraw else outside[torch.randperm(len(outside), generator=generator)[:used]]
        self._used = used

    def __len__(self) -> int:
        return len(self._inside) + self._used

    def indices(self, epoch: int, generator: Generator) -> Tensor:
        rejected = self._outside[torch.randperm(len(self._outside), generator=generator)[: self._used]]
        return _cycled(torch.cat([self._inside, rejected]), len(self), generator)


class MixedBatchSampler(EpochSampler):
    """Batches that hold samples of an expert's classes and of the others, for outlier exposure (Sec. 3.2.2).

    An epoch passes once over ``inside``; ``outside`` passes through permutations, so that none repeats before all were
    drawn. The last batch may be smaller and holds both kinds, too. Within a batch the order is random, so that each
    process's shard is a fair sample of both.

    Args:
        inside: int64[N], positions of the expert's own classes.
        outside: int64[M], positions of all other classes.
        batch_size: the batch size that the engine will cut with.
        outside_share: share of each batch that comes from ``outside``, rounded to whole samples.

    Raises:
        UsageError: one of the two kinds would have no sample in a batch.
    """

    def __init__(self, inside: Tensor, outside: Tensor, batch_size: int, outside_share: float = 0.5) -> None:
        self._inside, self._outside = _positions(inside), _positions(outside)
        outside_each = round(batch_size * outside_share)
        inside_each = batch_size - outside_each
        if min(inside_each, outside_each) < 1:
            raise UsageError(
                f"a batch of {batch_size} with an outside share of {outside_share} leaves one kind without samples"
            )
        num_outside = -(-len(inside) * outside_each // inside_each)
        self._batch_of = torch.cat(
            [torch.arange(len(inside)) // inside_each, torch.arange(num_outside) // outside_each]
        )

    def __len__(self) -> int:
        return len(self._batch_of)

    def indices(self, epoch: int, generator: Generator) -> Tensor:
        inside = _cycled(self._inside, len(self._inside), generator)
        outside = _cycled(self._outside, len(self) - len(inside), generator)
        return torch.cat([inside, outside])[_shuffled_within(self._batch_of, generator)]


class _SamplesByClass:
    """Draws samples of given classes, passing through a permutation of each class before repeating."""

    def __init__(self, labels: Tensor) -> None:
        present, self._class_of, self._counts = torch.unique(
            _positions(labels), return_inverse=True, return_counts=True
        )
        self.num_classes = len(present)
        self._positions = torch.argsort(self._class_of, stable=True)
        self._starts = self._counts.cumsum(0) - self._counts

    def draw(self, classes: Tensor, generator: Generator) -> Tensor:
        """A position for each of ``classes`` (int64[L], numbered 0.. among those present): int64[L]."""
        drawn = torch.bincount(classes, minlength=self.num_classes)
        passes = -(-drawn // self._counts)
        supply = passes * self._counts
        offsets = supply.cumsum(0) - supply
        # One slot for each class, pass and sample, in that order; shuffled within each pass.
        class_of_slot = torch.repeat_interleave(supply)
        within_class = torch.arange(len(class_of_slot)) - offsets[class_of_slot]
        count = self._counts[class_of_slot]
        first_pass = passes.cumsum(0) - passes
        slots = self._positions[self._starts[class_of_slot] + within_class % count]
        slots = slots[_shuffled_within(first_pass[class_of_slot] + within_class // count, generator)]
        # The k-th draw of a class takes its k-th slot.
        by_class = torch.argsort(classes, stable=True)
        nth = torch.empty_like(classes)
        nth[by_class] = torch.arange(len(classes)) - (drawn.cumsum(0) - drawn)[classes[by_class]]
        return slots[offsets[classes] + nth]


def _positions(values: Tensor) -> Tensor:
    if len(values) == 0:
        raise UsageError("there is no sample to draw from: the chosen classes have no training images")
    return values.to(torch.int64)


def _shuffled_within(groups: Tensor, generator: Generator) -> Tensor:
    """A random order of the elements that keeps their groups (int64[N]) ascending: int64[N]."""
    order = torch.randperm(len(groups), generator=generator)
    return order[torch.argsort(groups[order], stable=True)]


def _cycled(values: Tensor, length: int, generator: Generator) -> Tensor:
    """The first ``length`` of one random permutation of ``values`` after the other."""
    passes = -(-length // len(values))
    order = _shuffled_within(torch.arange(passes).repeat_interleave(len(values)), generator)
    return values[order % len(values)][:length]
