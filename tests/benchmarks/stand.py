"""What the training benchmarks stand on: drawn photographs as a split of any length, and a workbench of the engine around one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbench.classes import Classes
from ltbench.config import BackboneConfig
from ltbench.data.augmentation.augment import Augment
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.augmentation.cuts import Cut
from ltbench.data.base import Batch, CutSplit, Split
from ltbench.data.images.image_files import ImageFileSplit
from ltbench.data.images.image_list import ImageList
from ltbench.data.images.packed import PackedSplit, PackSettings, pack
from ltbench.engine.context import StageContext
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.workbench import Workbench

CLASSES = 100


class Repeated:
    """A split of few images as one of many: they come again and again."""

    def __init__(self, split: CutSplit, length: int) -> None:
        self.split, self.length = split, length
        self.labels = split.labels[torch.arange(length) % len(split)]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return self._renumbered(self.split.__getitems__(self._stored(indices)), indices)

    def cut(self, indices: Sequence[int], cut: Cut) -> Batch:
        return self._renumbered(self.split.cut(self._stored(indices), cut), indices)

    def _stored(self, indices: Sequence[int]) -> list[int]:
        return [int(index) % len(self.split) for index in indices]

    def _renumbered(self, batch: Batch, indices: Sequence[int]) -> Batch:
        return batch._replace(indices=torch.as_tensor(indices, dtype=torch.int64))


def listed(files: Sequence[Path]) -> ImageList:
    names = [str(file) for file in files]
    return ImageList(names, names, np.arange(len(names)) % CLASSES)


def stored(files: Sequence[Path], storage: str, folder: Path, size: int) -> CutSplit:
    """The photographs, ``packed`` (the copy is made in ``folder`` at the first call) or from their ``files``."""
    images = listed(files)
    if storage == "files":
        return ImageFileSplit(images, size)
    path = folder / f"{len(files)}.pack"
    if not path.exists():
        pack(images, path, PackSettings())
    return PackedSplit(images, path, PackSettings(), size)


def workbench(
    split: Split,
    compute: Compute,
    augment: Augment,
    shape: tuple[int, int, int],
    folder: Path,
    after_epoch: Callable[[str, int, dict[str, Any]], None] = lambda stage, epoch, metrics: None,
) -> Workbench:
    """Trains on ``split`` and validates on it; features in ``folder``."""
    reporter = Reporter(quiet=True)
    return Workbench(
        train=split,
        val=split,
        classes=Classes([str(label) for label in range(CLASSES)], torch.bincount(split.labels, minlength=CLASSES), {}),
        image_shape=shape,
        backbone=BackboneConfig(),
        augment=augment,
        mixing=MixConfig(),
        compute=compute,
        features=FeatureStore(folder, augment, shape[-1], compute, 0, reporter, "benchmark", ""),
        seed=0,
        reporter=reporter,
        after_epoch=after_epoch,
    )


def stage(bench: Workbench, folder: Path) -> StageContext:
    """A context whose trainings start from the beginning: ``folder`` must be new."""
    (folder / "checkpoint").mkdir(parents=True)
    return StageContext("benchmark", bench, folder, {})
