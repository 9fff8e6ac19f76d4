"""The examples of docs/examples, and a run that trains them all in seconds."""

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tiny import settings

from ltbench.config import RunConfig

FOLDER = Path(__file__).parents[2] / "docs" / "examples"

METHODS = {
    "prior-shifted": "logit_adjustment",
    "ldam-deferred": "ldam_drw",
    "mixed-images": "mixup_smoothing",
    "label-aware": "mixup_smoothing",
    "three-experts": "three_experts",
    "sharpness-aware": "sharpness_aware",
    "averaged": "weight_average",
    "contrasted": "two_views",
    "adapters": "vit_adapters",
    "distilled": "distillation",
}
"""Method -> file."""

FUSERS = {"log-prior": "log_prior"}

FILES = [FOLDER / f"{name}.py" for name in dict.fromkeys([*METHODS.values(), *FUSERS.values()])]

TRANSFORMER: dict[str, Any] = {
    "name": "vit_tiny_patch16_224",
    "kwargs": {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2},
}
"""Without BatchNorm: its statistics are those of each process's part of a batch."""

DATASET = {"num_classes": 6, "max_count": 50, "min_count": 6, "val_per_class": 5, "test_per_class": 7, "size": 16}
"""Of glyphs-lt: 133 training images."""

OPTIM = {"epochs": 2, "batch_size": 39, "lr": 0.05, "validate_every": 2}
"""Odd batches, and a remainder; what the second epoch leaves is kept."""

ADAM = OPTIM | {"lr": 0.003, "eps": 1e-3}
"""A smaller eps would divide noise by its size where a gradient is nought, as that of a key's bias in attention."""

RUN = [
    *settings(dataset={"options": DATASET}),
    *settings(backbone={"name": f'"{TRANSFORMER["name"]}"', "kwargs": TRANSFORMER["kwargs"]}),
    *settings(compute={"device": '"cpu"', "precision": '"fp32"', "eval_batch_size": 16}),
    *settings(**{name: {"optim": ADAM if name == "adapters" else OPTIM} for name in ("baseline", *METHODS)}),
    *settings(**{"ldam-deferred": {"reweight_from": 0.5}, "contrasted": {"queue": 60}}),
]
"""Settings of a run of all methods, for one process or two; one epoch of LDAM is reweighted and one is not."""


def alone(method: str) -> list[str]:
    """The settings of a run of that method, which requires no other, as ``KEY=VALUE``: those of others would be an error."""
    own = [each for each in RUN[1::2] if each.partition(".")[0] not in {"baseline", *METHODS} - {method}]
    return [*own, "controls=false"] if "controls" in RunConfig.model_fields else own


ALL = [part for file in FILES for part in ("--plugin", str(file))]
ALL += ["run", *(part for name in METHODS for part in ("-m", name)), "-f", "log-prior", *RUN]
"""The command that makes that run."""


@cache
def example(name: str) -> ModuleType:
    """The module of that file."""
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
