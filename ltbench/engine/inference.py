"""Features and logits of a whole split, each computed once: what a frozen backbone gives is shared by every member on it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ltbench.backbones import Backbone, weights_digest
from ltbench.canonical import digest
from ltbench.data.augment import Augment
from ltbench.data.base import Split
from ltbench.engine.compute import Compute
from ltbench.engine.loading import inference_loader
from ltbench.engine.progress import Reporter
from ltbench.engine.seeding import stream
from ltbench.files import save_beside

HEAD_CHUNK = 8192
"""Samples a head sees at once."""


@torch.inference_mode()
def run_over(
    module: nn.Module,
    split: Split,
    compute: Compute,
    prepare: Callable[[Tensor], Tensor],
    indices: Tensor | None = None,
) -> Tensor:
    """``module(prepare(images))`` for every sample in order: float32[N, D] on the CPU of every process.

    The module is left in eval mode. Tail samples that accelerate repeats to even out the last batch are dropped.
    """
    module.eval()
    rows: list[Tensor] = []
    for batch in inference_loader(split, compute, indices):
        images = compute.images(batch.images)
        with compute.autocast():
            answer = module(prepare(images))
        rows.append(compute.accelerator.gather_for_metrics(answer.float()).cpu())
    return torch.cat(rows)


@torch.inference_mode()
def apply_head(head: nn.Module, features: Tensor, compute: Compute) -> Tensor:
    """Logits float32[N, K] on the CPU from features float32[N, D]."""
    head.eval()
    return torch.cat([head(part.to(compute.device)).float().cpu() for part in features.split(HEAD_CHUNK)])


class FeatureStore:
    """Features by the digest of the backbone's weights, in memory and in the cache folder.

    Args:
        folder: where they are kept.
        augment: how images are prepared.
        identity: what else the features depend on (dataset fingerprint, augmentation, model), as plain values.
    """

    def __init__(
        self, folder: Path, augment: Augment, compute: Compute, seed: int, reporter: Reporter, identity: Any
    ) -> None:
        self.folder, self.augment, self.compute = folder, augment, compute
        self.seed, self.reporter, self.identity = seed, reporter, identity
        self.passes = 0
        self._memory: dict[str, Tensor] = {}

    def get(self, backbone: Backbone, name: str, split: Split, view: int = 0) -> Tensor:
        """float32[N, D] of one view of a split: view 0 is the plain image, each other one is augmented by its own stream."""
        key = self._key(backbone, name, view)
        if key not in self._memory:
            path = self.folder / f"{key}.safetensors"
            stored = self.compute.agree(path.exists())
            self._memory[key] = _read(path) if stored else self._compute(backbone, name, split, view, path)
        return self._memory[key]

    def _key(self, backbone: Backbone, name: str, view: int) -> str:
        parts = [weights_digest(backbone), backbone.input_size, self.compute.precision, self.identity, name, view]
        return f"{name}-v{view}-{digest([*parts, self.seed if view else None])[:24]}"

    def _compute(self, backbone: Backbone, name: str, split: Split, view: int, path: Path) -> Tensor:
        self.passes += 1
        prepare: Callable[[Tensor], Tensor] = self.augment.plain
        if view:
            generator = stream(self.seed, "features", name, "view", view, self.compute.rank)
            prepare = partial(self.augment.train, generator=generator)
        was_training = backbone.training
        with self.reporter.working(f"features of {name}" + (f", view {view}" if view else "")):
            values = run_over(self.compute.place(backbone), split, self.compute, prepare)
        backbone.train(was_training)
        if self.compute.is_main:
            save_beside({"features": values}, path)
        return values


def _read(path: Path) -> Tensor:
    with safe_open(path, "pt") as file:
        return file.get_tensor("features")
