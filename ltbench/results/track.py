"""The track of a row, from the settings alone: the engine writes it into the record, verification compares. No torch."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ltbench.common.escaping import one_line
from ltbench.data.augmentation.augment_config import in_words

if TYPE_CHECKING:
    from ltbench.config import RunConfig


def track_of(
    config: "RunConfig",
    root: str,
    *,
    resolution: int,
    precision: str,
    storage: str,
    pretrained: str,
    transductive: bool,
    augmentations: Iterable[Iterable[str] | None] = (),
) -> dict[str, Any]:
    """What rows must share to be ranked together: the fields of :class:`ltbench.results.schema.Track`, not yet checked.

    Args:
        root: the method that the others start from; its epochs count.
        resolution: pixels of the images as they are stored, used where the settings name no size.
        precision: that the run resolved.
        storage: how the dataset keeps its images (:attr:`ltbench.data.Dataset.storage`).
        pretrained: the full name of timm's weights, used where the settings ask for them.
        transductive: a method or the fuser looks at several test samples together.
        augmentations: of each stage that the row rests on, see :class:`ltbench.results.schema.StageInfo`.
    """
    backbone, optim = config.backbone, config.settings.get(root, {}).get("optim")
    changes = {**backbone.kwargs, **({"projection": backbone.projection} if backbone.projection else {})}
    pretraining = f"file {backbone.checkpoint.name}" if backbone.checkpoint else "none"
    if backbone.pretrained:
        pretraining = f"timm {pretrained}"
    of_run = [in_words(config.augment, config.mixing)]
    seen = {words for found in augmentations for words in (found or of_run)} or of_run
    return {
        "backbone": one_line(backbone.name + (f" ({_listed(changes)})" if changes else "")),
        "pretraining": one_line(pretraining),
        "epochs": optim.get("epochs", 0) if isinstance(optim, Mapping) else 0,
        "augmentation": one_line("; ".join(sorted(seen))),
        "resolution": config.augment.size or resolution,
        "storage": one_line(storage),
        "precision": precision,
        "test_views": config.evaluation.views,
        "transductive": transductive,
    }


def own_augmentation(report: Mapping[str, Any], config: "RunConfig") -> list[str] | None:
    """What a record says of the trainings of a stage, from the stage's report: None where they had the run's alone."""
    found: list[str] = report.get("augmentation", [])
    return None if found in ([], [in_words(config.augment, config.mixing)]) else found


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items())).replace("'", "")
