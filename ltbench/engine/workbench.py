"""What a run's settings and dataset come to: the workbench that all of its stages share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ltbench.classes import classes_of
from ltbench.data.augment import Augment
from ltbench.data.base import Dataset
from ltbench.engine.compute import Compute
from ltbench.engine.context import Workbench
from ltbench.engine.inference import FeatureStore
from ltbench.engine.keys import code_of

if TYPE_CHECKING:
    from ltbench.config import RunConfig
    from ltbench.engine.progress import Reporter


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
    """An empty store; what it keeps below ``folder`` is told apart by all that the pixels and the model depend on."""
    identity = {
        "dataset": [dataset.fingerprint, dataset.storage, dataset.mean, dataset.std],
        "dataset_code": code_of([type(dataset)]),
        "augment": config.augment.model_dump(),
        "backbone": [config.backbone.name, config.backbone.kwargs],
    }
    size = _image_shape(config, dataset)[-1]
    return FeatureStore(
        folder, _augment(config, dataset), size, compute, config.seed, reporter, identity, dataset.fingerprint
    )


def _augment(config: "RunConfig", dataset: Dataset) -> Augment:
    return Augment(config.augment, dataset.mean, dataset.std)


def _image_shape(config: "RunConfig", dataset: Dataset) -> tuple[int, int, int]:
    shape, size = dataset.image_shape, config.augment.size
    return (shape[0], size, size) if size else shape
