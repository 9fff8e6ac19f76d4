"""From a sampler and settings to the batches of a training: read, augmented, mixed, on the device."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Generator, Tensor

from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.augmentation.draws import SAMPLES
from ltbench.data.base import CutSplit
from ltbench.engine.machine.loading import EpochBatches, Share, training_loader
from ltbench.engine.machine.seeding import stream, stream_seed
from ltbench.engine.workbench import Workbench
from ltbench.errors import UsageError
from ltbench.training.mixing import Mixed, draw_mixed
from ltbench.training.step import Minibatch

Batches = Callable[[int], Iterator[Minibatch]]
"""Epoch (from 0) -> this process's part of each batch."""


@dataclass(frozen=True)
class Feed:
    """The batches of one training.

    Attributes:
        bench: of the run.
        names: name the random streams.
        batches: which samples.
        mixing: what is done to a batch.
        target_of: int64[C], dataset class -> target, on the device.
    """

    bench: Workbench
    names: tuple[str, ...]
    batches: EpochBatches
    mixing: MixConfig
    target_of: Tensor

    def of_images(self, views: int | Sequence[AugmentConfig]) -> Batches:
        """Of the training split, in so many views or in those of the tables given."""
        bench, compute = self.bench, self.bench.compute
        augments = views_of(bench.augment, views)
        loader = training_loader(bench.train, self.batches, augments, bench.image_size, compute)
        cuts = isinstance(bench.train, CutSplit)

        def of_epoch(epoch: int) -> Iterator[Minibatch]:
            self.batches.epoch = epoch
            streams = [self._stream("augment", epoch, view) for view in range(len(augments))]
            for number, (share, read) in enumerate(zip(self.batches.shares(), loader, strict=True)):
                images = []
                for view, augment in enumerate(augments):
                    made = compute.images(read[view % len(read)].images)
                    images.append(compute.images(augment.train(made, share.draws(streams[view]), cuts)))
                yield self._minibatch(share, images, read[0].labels, epoch, number)

        return of_epoch

    def of_features(self, features: Tensor, labels: Tensor, views: int) -> Batches:
        """Of features float[V, M, D] with labels int64[M]: so many random ones of their views."""

        def of_epoch(epoch: int) -> Iterator[Minibatch]:
            self.batches.epoch = epoch
            streams = [self._stream("views", epoch, view) for view in range(views)]
            for number, share in enumerate(self.batches.shares()):
                drawn = [share.draws(generator).integers(0, len(features), SAMPLES) for generator in streams]
                inputs = [features[view, share.samples].to(self.bench.compute.device) for view in drawn]
                yield self._minibatch(share, inputs, labels[share.samples], epoch, number)

        return of_epoch

    def _stream(self, purpose: str, epoch: int, view: int) -> Generator:
        return stream(self.bench.seed, *self.names, purpose, epoch, view)

    def _minibatch(self, share: Share, views: list[Tensor], labels: Tensor, epoch: int, number: int) -> Minibatch:
        mixed = self._mixed(share, views[0], epoch, number)
        if mixed is not None:
            views = [mixed.images(view) for view in views]
        targets = self.target_of[labels.to(self.bench.compute.device)]
        return Minibatch(tuple(views), targets, share.samples, share.places, share.total, mixed)

    def _mixed(self, share: Share, inputs: Tensor, epoch: int, number: int) -> Mixed | None:
        if not self.mixing.mixes:
            return None
        size = (inputs.shape[2], inputs.shape[3]) if inputs.ndim == 4 else None
        seed = stream_seed(self.bench.seed, *self.names, "mixing", epoch, number)
        return draw_mixed(self.mixing, seed, len(share.samples), size)


def views_of(augment: Augment, views: int | Sequence[AugmentConfig]) -> list[Augment]:
    """One augmentation a view.

    Raises:
        UsageError: no view, or one of another size than the run's.
    """
    made = [augment] * views if isinstance(views, int) else [augment.changed(config) for config in views]
    if not made or any(each.config.size != augment.config.size for each in made):
        raise UsageError(f"views: at least one is needed, each with the run's augment.size = {augment.config.size}.")
    return made
