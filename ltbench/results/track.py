"""The track of a row, from the settings alone: the engine writes it into the record, verification compares. No torch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ltbench.common.escaping import one_line

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
) -> dict[str, Any]:
    """What rows must share to be ranked together: the fields of :class:`ltbench.results.schema.Track`, not yet checked.

    Args:
        root: the method that the others start from; its epochs count.
        resolution: pixels of the images as they are stored, used where the settings name no size.
        precision: that the run resolved.
        storage: how the dataset keeps its images (:attr:`ltbench.data.Dataset.storage`).
        pretrained: the full name of timm's weights, used where the settings ask for them.
        transductive: a method or the fuser looks at several test samples together.
    """
    backbone, optim = config.backbone, config.settings.get(root, {}).get("optim")
    changes = {**backbone.kwargs, **({"projection": backbone.projection} if backbone.projection else {})}
    pretraining = f"file {backbone.checkpoint.name}" if backbone.checkpoint else "none"
    if backbone.pretrained:
        pretraining = f"timm {pretrained}"
    changed = [part.model_dump(mode="json", exclude_defaults=True) for part in (config.augment, config.mixing)]
    return {
        "backbone": one_line(backbone.name + (f" ({_listed(changes)})" if changes else "")),
        "pretraining": one_line(pretraining),
        "epochs": optim.get("epochs", 0) if isinstance(optim, Mapping) else 0,
        "augmentation": one_line(_listed(changed[0] | changed[1]) or "none"),
        "resolution": config.augment.size or resolution,
        "storage": one_line(storage),
        "precision": precision,
        "test_views": "centre",
        "transductive": transductive,
    }


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items())).replace("'", "")
