"""What a run's settings and dataset come to: the workbench that all of its stages share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.create import create_backbone
from ltbench.classes import Classes, classes_of
from ltbench.data.augmentation.augment import Augment
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.augmentation.cuts import EVAL_MARGIN
from ltbench.data.augmentation.views import LOOKS
from ltbench.data.base import Dataset, Split
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.keys.keys import code_of
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.seeding import global_stream
from ltbench.errors import UsageError

if TYPE_CHECKING:
    from ltbench.config import BackboneConfig, RunConfig
    from ltbench.engine.machine.progress import Reporter


@dataclass
class Workbench:
    """What all stages of a run share."""

    train: Split
    val: Split
    classes: Classes
    image_shape: tuple[int, int, int]
    backbone: "BackboneConfig"
    augment: Augment
    mixing: MixConfig
    compute: Compute
    features: FeatureStore
    seed: int
    reporter: "Reporter"
    after_epoch: Callable[[str, int, dict[str, Any]], None]

    @property
    def image_size(self) -> int:
        """Side of the square images that are read from files."""
        return self.image_shape[-1]

    def new_backbone(self, method: str) -> Backbone:
        """Initial weights from the method's own stream; those of a pretrained trunk are read anew."""
        with global_stream(self.seed, method, "backbone"):
            return create_backbone(
                self.backbone.name,
                image_shape=self.image_shape,
                pretrained=self.backbone.pretrained,
                checkpoint=self.backbone.checkpoint,
                unused=self.backbone.unused,
                projection=self.backbone.projection,
                kwargs=self.backbone.kwargs,
            )


def make_workbench(
    config: "RunConfig",
    dataset: Dataset,
    compute: Compute,
    features: FeatureStore,
    reporter: "Reporter",
    after_epoch: Callable[[str, int, dict[str, Any]], None],
) -> Workbench:
    """The workbench of a run; ``features`` as :func:`make_feature_store` makes them."""
    return Workbench(
        train=dataset.split("train"),
        val=dataset.split("val"),
        classes=classes_of(torch.as_tensor(dataset.train_counts), config.folds, dataset.class_names),
        image_shape=_image_shape(config, dataset),
        backbone=config.backbone,
        augment=_augment(config, dataset),
        mixing=config.mixing,
        compute=compute,
        features=features,
        seed=config.seed,
        reporter=reporter,
        after_epoch=after_epoch,
    )


def make_feature_store(
    folder: Path, config: "RunConfig", dataset: Dataset, compute: Compute, reporter: "Reporter"
) -> FeatureStore:
    """An empty store; what it keeps below ``folder`` is told apart by all that the pixels and the model depend on.

    Raises:
        UsageError: the images are so small that five crops of them would be one.
    """
    identity = {
        "dataset": [dataset.fingerprint, dataset.storage, dataset.mean, dataset.std],
        "dataset_code": code_of([type(dataset)]),
        "augment": config.augment.model_dump(),
        "backbone": [config.backbone.name, config.backbone.kwargs],
    }
    size, views = _image_shape(config, dataset)[-1], config.evaluation.views
    if any(look.crop for look in LOOKS[views]) and round(size * EVAL_MARGIN) == size:
        raise UsageError(
            f"evaluation.views = '{views}': in images of {size} pixels the five crops are one; use 'centre' or 'flip'."
        )
    augment, fingerprint = _augment(config, dataset), dataset.fingerprint
    return FeatureStore(folder, augment, size, compute, config.seed, reporter, identity, fingerprint, LOOKS[views])


def _augment(config: "RunConfig", dataset: Dataset) -> Augment:
    return Augment(config.augment, dataset.mean, dataset.std)


def _image_shape(config: "RunConfig", dataset: Dataset) -> tuple[int, int, int]:
    shape, size = dataset.image_shape, config.augment.size
    return (shape[0], size, size) if size else shape
