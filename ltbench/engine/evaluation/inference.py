"""Features and logits of a whole split, each computed once: what a frozen backbone gives is shared by every member on it."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.checkpoints import weights_digest
from ltbench.backbones.shared_pass import SharedPass
from ltbench.common.canonical import digest
from ltbench.common.sealed import Damaged, set_aside
from ltbench.common.sealed_tensors import read_tensors, write_tensors
from ltbench.data.augmentation.augment import Augment
from ltbench.data.augmentation.cuts import Cut
from ltbench.data.augmentation.draws import Draws
from ltbench.data.augmentation.views import PLAIN, Look
from ltbench.data.base import CutSplit, Split
from ltbench.engine.evaluation.order import drawn_order, put_back
from ltbench.engine.keys.keys import feature_code
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.loading import Batches, inference_batch, inference_loader
from ltbench.engine.machine.seeding import stream

if TYPE_CHECKING:
    from ltbench.engine.machine.progress import Reporter
    from ltbench.method import Member

EVALUATED = ("val", "test")
"""Splits whose plain images are seen in a drawn order."""

HEAD_CHUNK = 8192
"""Samples a head sees at once."""


class View:
    """How the images of a split are read and prepared for one pass without gradients: not augmented.

    Args:
        augment: the run's.
        size: side of the images that are read from a :class:`ltbench.data.base.CutSplit`, where ``augment`` sets none.
        look: what of them is looked at.
        cuts: the images are cut when they are read.
    """

    def __init__(self, augment: Augment, size: int, look: Look = PLAIN, cuts: bool = False) -> None:
        self.augment, self.size, self.look, self.cuts = augment, size, look, cuts

    def cut(self, samples: list[int]) -> Cut:
        """What to read of the samples at these positions."""
        return self.augment.look_cut(self.look, self.size)

    def prepare(self, images: Tensor, samples: Tensor) -> Tensor:
        """float32[B, C, h, w] of the images that were read, at the positions ``samples`` int64[B]; called batch by batch."""
        return self.augment.look(images, self.look, self.cuts)


class AugmentedView(View):
    """An augmented view of a whole split, the same for however many processes share it.

    Args:
        seed, names: name the view's random streams.
        total: samples of the split.
        batch_size: of each batch, over all processes.
    """

    def __init__(
        self, augment: Augment, size: int, seed: int, names: tuple[object, ...], total: int, batch_size: int, cuts: bool
    ) -> None:
        super().__init__(augment, size, cuts=cuts)
        self.seed, self.names = seed, names
        self.total, self.batch_size = total, batch_size
        self._start = 0
        self._stream = stream(seed, *names, 0)

    def cut(self, samples: list[int]) -> Cut:
        draws = [Draws(stream(self.seed, *self.names, "cut", sample), 1) for sample in samples]
        return self.augment.training_cut(draws, self.size)

    def prepare(self, images: Tensor, samples: Tensor) -> Tensor:
        whole = min(self.batch_size, self.total - self._start)
        # accelerate evens out the last batch with the first samples of all; what they get is dropped.
        places = (samples.cpu() - self._start).clamp_(0, whole - 1)
        self._start += whole
        return self.augment.train(images, Draws(self._stream, whole, places), self.cuts)


@torch.inference_mode()
def run_over(
    module: nn.Module,
    split: Split,
    compute: Compute,
    view: View,
    indices: Tensor | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """``module`` of every sample's image in order: float32[N, D] on the CPU of every process.

    The module is left in eval mode. Tail samples that accelerate repeats to even out the last batch are dropped.
    ``progress`` is called after each batch.
    """
    module.eval()
    rows: list[Tensor] = []
    for batch in Batches(inference_loader(split, compute, view.cut, indices)):
        images = view.prepare(compute.images(batch.images), batch.indices)
        with compute.autocast():
            answer = module(images)
        rows.append(compute.accelerator.gather_for_metrics(answer.float()).cpu())
        progress()
    return torch.cat(rows)


@torch.inference_mode()
def apply_head(head: nn.Module, features: Tensor, compute: Compute, order: Tensor | None = None) -> Tensor:
    """Logits float32[N, K] on the CPU from features float32[N, D], which the head sees in the order ``order`` int64[N]."""
    head.eval()
    parts = features.split(HEAD_CHUNK) if order is None else (features[part] for part in order.split(HEAD_CHUNK))
    logits = torch.cat([head(part.to(compute.device)).float().cpu() for part in parts])
    return logits if order is None else put_back(logits, order)


class FeatureStore:
    """Features by the digest of the backbone's weights, in memory and in the cache folder.

    Args:
        folder: where they are kept.
        augment: how images are prepared.
        size: see :class:`View`.
        identity: what else the features depend on (dataset and its code, augmentation, model), as plain values.
        fingerprint: of the dataset; it draws the order in which validation and test are evaluated.
        looks: what is looked at of an image that is evaluated (:meth:`logits`).
    """

    def __init__(
        self,
        folder: Path,
        augment: Augment,
        size: int,
        compute: Compute,
        seed: int,
        reporter: "Reporter",
        identity: Any,
        fingerprint: str,
        looks: Sequence[Look] = (PLAIN,),
    ) -> None:
        self.folder, self.augment, self.size, self.compute, self.looks = folder, augment, size, compute, looks
        self.seed, self.reporter, self.identity, self.fingerprint = seed, reporter, identity, fingerprint
        self.passes = 0
        self._memory: dict[str, Tensor] = {}

    def get(self, backbone: Backbone, name: str, split: Split, view: int = 0) -> Tensor:
        """float32[N, D] of one view of a split: view 0 is the plain image, each other one is augmented by its own stream."""
        (values,) = self.get_all([backbone], name, split, view)
        return values

    def get_all(self, backbones: Sequence[Backbone], name: str, split: Split, view: int | Look = 0) -> list[Tensor]:
        """:meth:`get` of each backbone; ``view`` may also be what is evaluated.

        Those not kept yet see the images in one pass and share what they have in common.
        """
        keys = [self._key(backbone, name, view) for backbone in backbones]
        missing: dict[str, Backbone] = {}
        for key, backbone in zip(keys, backbones, strict=True):
            if key not in self._memory and not self._recall(key):
                missing[key] = backbone
        if missing:
            self._compute(missing, name, split, view)
        return [self._memory[key] for key in keys]

    def _recall(self, key: str) -> bool:
        """Take features from the cache, if the main process finds them whole; damaged ones are set aside."""
        if self.compute.is_main:
            self._read_whole(key)
        if not self.compute.from_main(key in self._memory):
            return False
        if key not in self._memory:
            self._memory[key] = self._read(key)
        return True

    def _read_whole(self, key: str) -> None:
        path = self._path(key)
        if path.exists():
            try:
                self._memory[key] = self._read(key)
            except Damaged as why:
                set_aside(path, why)

    def _read(self, key: str) -> Tensor:
        return read_tensors(self._path(key), f"features {key}").tensors["features"]

    def logits(self, members: Sequence["Member"], name: str, split: Split) -> list[Tensor]:
        """Logits float32[N, K] of each member for a split, in its order; images and features are seen in a drawn one.

        Of several looks at each image: the mean of their logits.
        """
        first, *others = self.looks
        logits = self._look_logits(members, name, split, first)
        for look in others:
            logits = [
                one + other for one, other in zip(logits, self._look_logits(members, name, split, look), strict=True)
            ]
        return [total / len(self.looks) for total in logits] if others else logits

    def _look_logits(self, members: Sequence["Member"], name: str, split: Split, look: Look) -> list[Tensor]:
        features = self.get_all([member.backbone for member in members], name, split, look)
        order, heads = self._order(name, split), [member.head for member in members]
        logits = [apply_head(head, part, self.compute, order) for head, part in zip(heads, features, strict=True)]
        if look != PLAIN:  # methods ask for features of the plain view alone
            self._memory = {key: kept for key, kept in self._memory.items() if not key.startswith(f"{name}-v{look}-")}
        return logits

    def views(self, split: Split) -> list[View]:
        """Those that are evaluated."""
        return [View(self.augment, self.size, look, isinstance(split, CutSplit)) for look in self.looks]

    def _order(self, name: str, split: Split) -> Tensor:
        return drawn_order(self.fingerprint, name, len(split))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _key(self, backbone: Backbone, name: str, view: int | Look) -> str:
        view = 0 if view == PLAIN else view
        parts = {
            "weights": weights_digest(backbone),
            "modules": _structure(backbone),
            "code": feature_code(backbone),
            "identity": self.identity,
            "precision": self.compute.precision,
            "compile": self.compute.config.compile,
            "split": name,
            "view": [str(view)] if isinstance(view, Look) else [view, self.seed] if view else [0],
        }
        return f"{name}-v{view}-{digest(parts)[:24]}"

    def _compute(self, missing: Mapping[str, Backbone], name: str, split: Split, view: int | Look) -> None:
        self.passes += 1
        way, backbones = self._view(name, split, view), list(missing.values())
        were_training = [backbone.training for backbone in backbones]
        module = SharedPass(backbones) if len(backbones) > 1 else backbones[0]
        label = f"features of {name}" + (f", view {view}" if view not in (0, PLAIN) else "")
        batches = -(-len(split) // inference_batch(self.compute))
        # Augmented views are drawn batch by batch; they and the training split, shuffled anyway, are never evaluated.
        evaluated = isinstance(view, Look) or view == 0
        order = self._order(name, split) if name in EVALUATED and evaluated else None
        with self.reporter.steps(label, batches) as advance:
            values = run_over(self.compute.place(module), split, self.compute, way, order, advance)
        if order is not None:
            values = put_back(values, order)
        for backbone, was_training in zip(backbones, were_training, strict=True):
            backbone.train(was_training)
        widths = [backbone.num_features for backbone in backbones]
        for key, part in zip(missing, values.split(widths, dim=1), strict=True):
            self._memory[key] = part.contiguous()
            if self.compute.is_main:
                write_tensors(self._path(key), {"features": part}, f"features {key}")

    def _view(self, name: str, split: Split, view: int | Look) -> View:
        cuts = isinstance(split, CutSplit)
        if isinstance(view, Look) or view == 0:
            return View(self.augment, self.size, view if isinstance(view, Look) else PLAIN, cuts)
        names = ("features", name, "view", view)
        batch = inference_batch(self.compute)
        return AugmentedView(self.augment, self.size, self.seed, names, len(split), batch, cuts)


def _structure(backbone: Backbone) -> list[Any]:
    """What a backbone is beside its weights: the classes of its modules, and their settings as they print them."""
    classes = sorted({f"{type(module).__module__}.{type(module).__qualname__}" for module in backbone.modules()})
    return [classes, re.sub(r" at 0x[0-9a-f]+", "", repr(backbone)), backbone.input_size]
