"""From a split and an order of indices to batches on this process."""

from collections.abc import Iterator
from typing import Any

from accelerate.data_loader import prepare_data_loader
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, Subset

from ltbench.data.base import Split
from ltbench.data.samplers import EpochSampler
from ltbench.engine.compute import Compute
from ltbench.engine.seeding import stream
from ltbench.errors import UsageError

SMALLEST = 2
"""Samples a process needs in a training batch or a piece of one: BatchNorm over one sample of a 1x1 map has no variance."""


def cut(order: Tensor, batch_size: int, world: int = 1) -> list[Tensor]:
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


class EpochBatches:
    """The batches of one process: the global order of an epoch, cut, each batch dealt out to the processes without repeats."""

    def __init__(self, sampler: EpochSampler, batch_size: int, compute: Compute, seed: int, *names: object) -> None:
        self.sampler, self.batch_size, self.compute = sampler, batch_size, compute
        self.seed, self.names = seed, names
        self.epoch = 0

    def __len__(self) -> int:
        return len(cut(self._order(), self.batch_size, self.compute.world))

    def __iter__(self) -> Iterator[list[int]]:
        for batch in cut(self._order(), self.batch_size, self.compute.world):
            yield batch[self.compute.rank :: self.compute.world].tolist()

    def _order(self) -> Tensor:
        return self.sampler.indices(self.epoch, stream(self.seed, *self.names, "order", self.epoch))


def _whole(batch: Any) -> Any:
    """What ``__getitems__`` answers is a :class:`ltbench.data.base.Batch` already."""
    return batch


def training_loader(split: Split, batches: EpochBatches, compute: Compute) -> DataLoader[Any]:
    """Whole uint8 batches in the order of ``batches``; set ``batches.epoch`` before each pass."""
    workers = compute.config.workers
    return DataLoader(
        split,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=_whole,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=compute.device.type == "cuda",
    )


def inference_loader(split: Split, compute: Compute, indices: Tensor | None = None) -> Any:
    """The split (or the samples at ``indices``) in order, sharded by accelerate; read it through ``gather_for_metrics``.

    Accelerate's function, not the accelerator's method: that one keeps every loader, and with it the test split, where a
    method could find it.
    """
    source: Any = split if indices is None else _Selection(split, indices)
    size = compute.config.eval_batch_size
    size = max(compute.world, size - size % compute.world)
    loader: DataLoader[Any] = DataLoader(
        source,
        batch_sampler=BatchSampler(SequentialSampler(source), size, drop_last=False),
        collate_fn=_whole,
        num_workers=compute.config.workers,
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


class _Selection(Subset[Any]):
    """A part of a split that still answers with whole batches."""

    def __init__(self, split: Split, indices: Tensor) -> None:
        super().__init__(split, indices.tolist())  # type: ignore[arg-type]

    def __getitems__(self, positions: list[int]) -> Any:
        return self.dataset.__getitems__([self.indices[position] for position in positions])  # type: ignore[attr-defined]
