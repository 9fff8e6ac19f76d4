"""Images per second of one training on one device: through the engine, in a bare loop on the same input, and without input."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stand import CLASSES, Repeated, listed, stage, stored, workbench
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from training_speed import Pictures

from ltbench.backbones.create import create_backbone
from ltbench.config import ComputeConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.draws import Draws
from ltbench.data.base import Batch
from ltbench.data.images.file_dataset import IMAGENET_MEAN, IMAGENET_STD
from ltbench.engine.evaluation.inference import View, run_over
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.loading import workers_of
from ltbench.method import Classifier, Member, Validation
from ltbench.training.optim import OptimConfig

LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}

Jitter = tuple[float, float, float, float]


@dataclass(frozen=True)
class Network:
    """A timm model and how many images an epoch of it takes here."""

    name: str
    images: int
    projection: int | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)

    def classifier(self, size: int) -> Classifier:
        torch.manual_seed(0)
        backbone = create_backbone(
            self.name, image_shape=(3, size, size), projection=self.projection, kwargs=self.kwargs
        )
        return Classifier(backbone, nn.Linear(backbone.num_features, CLASSES))


class Enough(Exception):
    """The epoch that is timed is over."""


@dataclass
class Loops:
    """The loops that are compared.

    Attributes:
        device: ``cuda``, or ``cpu`` to try them.
        files: photographs, which an epoch repeats until it has as many images as it should.
        size: side of the images that the network sees.
        batch: images a step.
        folder: for packed copies and drafts of stages.
    """

    device: str
    files: Sequence[Path]
    size: int
    batch: int
    folder: Path
    _runs: Iterator[int] = field(default_factory=itertools.count)

    def compute(self, precision: str, **more: Any) -> Compute:
        return Compute(ComputeConfig(device=self.device, precision=precision, **more))

    def split(self, storage: str, images: int) -> Repeated:
        return Repeated(stored(self.files, storage, self.folder, self.size), images)

    def augment(self, jitter: float = 0.4) -> Augment:
        """ImageNet-LT's: RandomResizedCrop, flip and, unless 0, colour jitter."""
        strength: Jitter = (jitter, jitter, jitter, 0.0)
        config = AugmentConfig(crop_scale=(0.08, 1.0), flip=True, color_jitter=strength, size=self.size)
        return Augment(config, IMAGENET_MEAN, IMAGENET_STD)

    def harness(self, network: Network, storage: str, precision: str, jitter: float = 0.4, **more: Any) -> float:
        """``context.train``: the second epoch, by the engine's own log. The first one warms up (and compiles)."""
        seconds: list[float] = []

        def after_epoch(where: str, epoch: int, metrics: dict[str, Any]) -> None:
            seconds.append(metrics["seconds"])
            if epoch == 2:
                raise Enough

        compute, split = self.compute(precision, **more), self.split(storage, network.images)
        folder = self.folder / f"run{next(self._runs)}"
        bench = workbench(split, compute, self.augment(jitter), (3, self.size, self.size), folder, after_epoch)
        module = compute.place(network.classifier(self.size))
        member = Member("all", torch.arange(CLASSES), module.backbone, module.head)
        optim = OptimConfig(
            epochs=3, batch_size=self.batch, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, validate_every=3
        )
        one = Validation(torch.tensor([0]), torch.tensor([0]))
        try:
            stage(bench, folder).train(member, optim=optim, validation=one)
        except Enough:
            return network.images / seconds[1]
        raise AssertionError("the training came to its end before its second epoch")

    def bare(self, network: Network, storage: str, precision: str, jitter: float = 0.4) -> float:
        """A plain torch loop on the same images, cut by as many worker processes, augmented alike on the device."""
        split, augment = self.split(storage, network.images), self.augment(jitter)
        loader = self._loader(_Cut(split, augment, self.size), self._workers(split), collate_fn=_as_it_is)
        step = self._step(network, precision)

        def take(batch: Batch) -> None:
            images = augment.train(batch.images.to(self.device, non_blocking=True), cut=True)
            step(images, batch.labels.to(self.device, non_blocking=True))

        return self._second_pass(loader, network.images, take)

    def usual(self, network: Network, precision: str) -> float:
        """As the published repositories read: PIL and torchvision's transforms in worker processes; else as :meth:`bare`."""
        files = [self.files[number % len(self.files)] for number in range(network.images)]
        loader = self._loader(Pictures(listed(files)), self._workers(self.split("files", network.images)))
        step = self._step(network, precision)

        def take(batch: Sequence[Tensor]) -> None:
            step(*(part.to(self.device, non_blocking=True) for part in batch))

        return self._second_pass(loader, network.images, take)

    def reading(self, storage: str, workers: int, steps: int) -> float:
        """The input alone: so many batches cut, resized and handed to this process, by so many worker processes."""
        images = steps * self.batch
        split = self.split(storage, images)
        loader = self._loader(_Cut(split, self.augment(), self.size), workers, collate_fn=_as_it_is)
        return self._second_pass(loader, images, lambda batch: None)

    def without_input(self, network: Network, precision: str, compiled: bool = False) -> float:
        """Forward, backward and step on one batch that lies on the device: what no input can exceed."""
        step = self._step(network, precision, compiled)
        images = torch.randn(self.batch, 3, self.size, self.size, device=self.device)
        targets = torch.randint(0, CLASSES, (self.batch,), device=self.device)
        for _ in range(3):
            step(images, targets)
        steps = max(1, network.images // self.batch)
        started = self._now()
        for _ in range(steps):
            step(images, targets)
        return steps * self.batch / (self._now() - started)

    def evaluation(self, network: Network, storage: str, precision: str) -> float:
        """A pass over the split as a run makes it, its worker processes' start included; the second of two."""
        compute, split = self.compute(precision), self.split(storage, network.images)
        module, view = compute.place(network.classifier(self.size)), View(self.augment(), self.size)
        run_over(module, split, compute, view)
        started = self._now()
        run_over(module, split, compute, view)
        return network.images / (self._now() - started)

    def forward_alone(self, network: Network, precision: str) -> float:
        """The network in eval mode on one batch that lies on the device."""
        module = network.classifier(self.size).to(self.device).to(memory_format=torch.channels_last).eval()
        images = self._laid_out(torch.randn(self.batch, 3, self.size, self.size, device=self.device))
        steps = max(1, network.images // self.batch)
        with torch.inference_mode(), self._autocast(precision):
            for _ in range(3):
                module(images)
            started = self._now()
            for _ in range(steps):
                module(images)
        return steps * self.batch / (self._now() - started)

    def _workers(self, split: Repeated) -> int:
        """As many as a run takes."""
        return workers_of(split, self.compute("fp32"))

    def _loader(self, source: Any, workers: int, **more: Any) -> DataLoader[Any]:
        pinned = self.device == "cuda"
        return DataLoader(
            source,
            self.batch,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pinned,
            **more,
        )

    def _second_pass(self, loader: DataLoader[Any], images: int, take: Callable[[Any], None]) -> float:
        """Images per second of the second of two."""
        seconds = []
        for _ in range(2):
            started = self._now()
            for batch in loader:
                take(batch)
            seconds.append(self._now() - started)
        return images / seconds[1]

    def _step(self, network: Network, precision: str, compiled: bool = False) -> Callable[[Tensor, Tensor], None]:
        """One step of SGD: images float32[B, 3, H, W], targets int64[B]."""
        module: Any = network.classifier(self.size).to(self.device).to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(module.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        scaler = torch.amp.GradScaler(self.device, enabled=precision == "fp16")
        called = torch.compile(module) if compiled else module

        def step(images: Tensor, targets: Tensor) -> None:
            optimizer.zero_grad()
            with self._autocast(precision):
                loss = F.cross_entropy(called(self._laid_out(images)), targets)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

        return step

    def _autocast(self, precision: str) -> torch.autocast:
        half = HALF.get(precision)
        return torch.autocast(self.device, dtype=half or torch.bfloat16, enabled=half is not None)

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last)

    def _now(self) -> float:
        """Seconds, after all that the device was given to do."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class _Cut:
    """A dataset whose worker processes draw what to cut of a batch's images."""

    def __init__(self, split: Repeated, augment: Augment, size: int) -> None:
        self.split, self.augment, self.size = split, augment, size

    def __len__(self) -> int:
        return len(self.split)

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.split.cut(indices, self.augment.training_cut([Draws(None, len(indices))], self.size))


def _as_it_is(batch: Batch) -> Batch:
    return batch
