"""From a split and an order of indices to batches on this process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Generator, Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from ltbench.data.augmentation.augment import Augment
from ltbench.data.augmentation.cuts import Cut
from ltbench.data.augmentation.draws import Draws
from ltbench.data.base import Batch, CutSplit, Split
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.seeding import stream
from ltbench.engine.machine.world import usable_cores
from ltbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from ltbench.data.samplers import EpochSampler

SMALLEST = 2
"""Samples a process needs in a training batch or a piece of one: BatchNorm over one sample of a 1x1 map has no variance."""

MOST_WORKERS = 16
"""Processes that read images, unless the settings ask for more."""


def in_batches(order: Tensor, batch_size: int, world: int = 1) -> list[Tensor]:
    """Consecutive batches of an epoch's order int64[M]; a remainder too small for every process joins the batch before it.

    Raises:
        UsageError: the whole epoch, or the batch size, is too small.
    """
    least = SMALLEST * world
    if len(order) < least:
        raise UsageError(
            f"{len(order)} training samples are too few to train on with {world} process(es); need {least}."
        )
    if batch_size < least:
        raise UsageError(f"optim.batch_size = {batch_size} is too small for {world} process(es); use {least} or more.")
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) < least:
        batches[-2:] = [order[-(len(batches[-1]) + len(batches[-2])) :]]
    return batches


@dataclass(frozen=True)
class Share:
    """What one process has of a batch.

    Attributes:
        samples: int64[B], positions in the split.
        places: int64[B], their places in the whole batch.
        total: samples of the whole batch.
        in_order: it is the whole batch, in its order.
    """

    samples: Tensor
    places: Tensor
    total: int
    in_order: bool

    def draws(self, generator: Generator) -> Draws:
        return Draws(generator, self.total, None if self.in_order else self.places)


class EpochBatches:
    """The batches of one process: the global order of an epoch, cut, each batch dealt out to the processes without repeats.

    Args:
        pairs: deal pairs of samples, drawn from the whole batch; each pair stands together, and a last single one at the end.
    """

    def __init__(
        self, sampler: "EpochSampler", batch_size: int, compute: Compute, seed: int, *names: object, pairs: bool = False
    ) -> None:
        self.sampler, self.batch_size, self.compute = sampler, batch_size, compute
        self.seed, self.names, self.pairs = seed, names, pairs
        self.epoch = 0
        self._made: tuple[int, list[Share]] | None = None

    def __len__(self) -> int:
        return len(self.shares())

    def __iter__(self) -> Iterator[list[int]]:
        for share in self.shares():
            yield share.samples.tolist()

    def shares(self) -> list[Share]:
        """Those of the epoch, in order."""
        if self._made is None or self._made[0] != self.epoch:
            order = self.sampler.indices(self.epoch, stream(self.seed, *self.names, "order", self.epoch))
            pairing = stream(self.seed, *self.names, "pairs", self.epoch)
            batches = in_batches(order, self.batch_size, self.compute.world)
            self._made = self.epoch, [self._dealt(batch, pairing) for batch in batches]
        return self._made[1]

    def _dealt(self, batch: Tensor, pairing: Generator) -> Share:
        rank, world = self.compute.rank, self.compute.world
        if self.pairs:
            pairs = torch.randperm(len(batch), generator=pairing).split(2)
            places = torch.cat(pairs[rank::world])
        else:
            places = torch.arange(len(batch))[rank::world]
        return Share(batch[places], places, len(batch), in_order=world == 1 and not self.pairs)


CutOf = Callable[[Any], Cut]
"""What to read of a batch's images, from what identifies the batch."""


class CutBatches:
    """As :class:`EpochBatches`, each batch with what is to be read of its images, once for each view: drawn here, whoever
    reads them."""

    def __init__(self, batches: EpochBatches, views: Sequence[Augment], size: int) -> None:
        self.batches, self.views, self.size = batches, views, size

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[list[int], list[Cut]]]:
        batches = self.batches
        names = [("cut", batches.epoch), *(("cut", batches.epoch, view) for view in range(1, len(self.views)))]
        streams = [stream(batches.seed, *batches.names, *name) for name in names]
        for share in batches.shares():
            drawn = zip(self.views, streams, strict=True)
            cuts = [augment.training_cut([share.draws(generator)], self.size) for augment, generator in drawn]
            yield share.samples.tolist(), cuts


class _CutOnDemand:
    """A dataset for :class:`CutBatches`."""

    def __init__(self, split: CutSplit) -> None:
        self.split = split

    def __getitems__(self, asked: tuple[list[int], list[Cut]]) -> list[Batch]:
        samples, cuts = asked
        return [self.split.cut(samples, cut) for cut in cuts]


class _Once:
    """A dataset whose images all views start from."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __getitems__(self, samples: list[int]) -> list[Batch]:
        return [self.split.__getitems__(samples)]


def _whole(batch: Any) -> Any:
    """What ``__getitems__`` answers is a :class:`ltbench.data.base.Batch` already."""
    return batch


def workers_of(split: Split, compute: Compute) -> int:
    """Processes that read a split: as set, or by default all cores but one (16 at most) where files are read for a GPU.

    On a CPU they would take from the training what they give it.
    """
    if compute.config.workers is not None:
        return compute.config.workers
    if not isinstance(split, CutSplit) or compute.device.type == "cpu":
        return 0
    cores = usable_cores()
    return min(MOST_WORKERS, max(1, cores // compute.local_world - 1))


def training_loader(
    split: Split, batches: EpochBatches, views: Sequence[Augment], size: int, compute: Compute
) -> Iterable[list[Batch]]:
    """Whole uint8 batches in the order of ``batches``; set ``batches.epoch`` before each pass.

    Of a :class:`ltbench.data.base.CutSplit` each comes once for each of ``views``, cut as that says; of another split once.

    ``size``: side of the images that are read from a :class:`ltbench.data.base.CutSplit`, where a view sets none.
    """
    workers = workers_of(split, compute)
    source: Any = _Once(split)
    order: EpochBatches | CutBatches = batches
    if isinstance(split, CutSplit):
        source, order = _CutOnDemand(split), CutBatches(batches, views, size)
    loader: DataLoader[Any] = DataLoader(
        source,
        batch_sampler=order,  # type: ignore[arg-type]
        collate_fn=_whole,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=compute.device.type == "cuda",
    )
    return Batches(loader)


class Batches:
    """A loader whose errors read as if there were no worker processes."""

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.loader
        except DataError as error:
            # A worker's error arrives as the text of its traceback, whose last line is the message.
            raise DataError(str(error).rpartition(f"{DataError.__name__}: ")[2].strip()) from None


def inference_loader(split: Split, compute: Compute, cut_of: CutOf, indices: Tensor | None = None) -> Any:
    """The split (or the samples at ``indices``) in order, sharded by accelerate; read it through ``gather_for_metrics``.

    Accelerate's function, not the accelerator's method: that one keeps every loader, and with it the test split, where a
    method could find it.
    """
    source = _InOrder(split, cut_of, indices)
    loader: DataLoader[Any] = DataLoader(
        source,  # type: ignore[arg-type]
        batch_sampler=BatchSampler(SequentialSampler(source), inference_batch(compute), drop_last=False),
        collate_fn=_whole,
        num_workers=workers_of(split, compute),
        pin_memory=compute.device.type == "cuda",
    )
    return prepare_data_loader(
        loader,
        compute.device,
        num_processes=compute.world,
        process_index=compute.rank,
        split_batches=True,
        put_on_device=True,
        even_batches=True,
    )


def inference_batch(compute: Compute) -> int:
    """Samples of a batch without gradients, over all processes."""
    size = compute.config.eval_batch_size
    return max(compute.world, size - size % compute.world)


class _InOrder:
    """A split, or the samples of it at ``indices``, as :func:`read` gives them."""

    def __init__(self, split: Split, cut_of: CutOf, indices: Tensor | None) -> None:
        self.split, self.cut_of = split, cut_of
        self.indices = None if indices is None else indices.tolist()

    def __len__(self) -> int:
        return len(self.split) if self.indices is None else len(self.indices)

    def __getitems__(self, positions: list[int]) -> Batch:
        samples = positions if self.indices is None else [self.indices[position] for position in positions]
        return read(self.split, samples, self.cut_of)


def read(split: Split, samples: list[int], cut_of: CutOf) -> Batch:
    """The samples at these positions, read as ``cut_of`` them says where the split can be cut."""
    if isinstance(split, CutSplit):
        return split.cut(samples, cut_of(samples))
    return split.__getitems__(samples)
