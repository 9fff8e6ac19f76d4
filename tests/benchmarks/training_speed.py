"""Images per second of training ResNet-10 at 224 px: the whole harness against a bare loop and against the usual code.

    python tests/benchmarks/training_speed.py [--images 256] [--batch 64] [--rounds 3] [--workers N] [--storage files]

Drawn 500 x 375 JPEGs of 100 classes; ImageNet-LT's recipe (512-d layer, RandomResizedCrop, flip, ColorJitter).

- harness: ``train`` through the engine, an epoch at a time: reading, augmentation, training, without validation.
- bare: forward, backward and step on one preloaded batch, same precision and memory layout. Goal: the harness has 0.95 of
  its speed where the input keeps up.
- usual: what the published repositories do: PIL decodes, torchvision's transforms, float32, NCHW, one process, which runs
  apart from the other two. Goal: the harness is 3 times as fast.

The three take turns within each round; printed are medians over the rounds. The network is compiled by none of them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from photos import draw_photos
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ltbench.backbones.create import create_backbone
from ltbench.config import BackboneConfig, ComputeConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.images.file_dataset import IMAGENET_MEAN, IMAGENET_STD
from ltbench.data.images.image_files import ImageFileSplit
from ltbench.data.images.image_list import ImageList
from ltbench.data.images.packed import PackedSplit, PackSettings, pack
from ltbench.engine.context import StageContext
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.workbench import Workbench
from ltbench.method import Classes, Classifier, Member, Validation
from ltbench.training.optim import OptimConfig

CLASSES, SIZE, LR = 100, 224, 0.05


def classifier() -> Classifier:
    torch.manual_seed(0)
    backbone = create_backbone("resnet10", image_shape=(3, SIZE, SIZE), projection=512)
    return Classifier(backbone, nn.Linear(512, CLASSES))


class Harness:
    """One epoch through the engine."""

    def __init__(self, images: ImageList, folder: Path, batch: int, storage: str, workers: int | None) -> None:
        self.batch, self.folder = batch, folder
        split = ImageFileSplit(images, SIZE)
        if storage == "packed":
            split = PackedSplit(images, pack(images, folder / "x.pack", PackSettings()), PackSettings(), SIZE)
        self.compute = Compute(ComputeConfig(workers=workers, device="cpu"))
        config = AugmentConfig(crop_scale=(0.08, 1.0), flip=True, color_jitter=(0.4, 0.4, 0.4, 0.0), size=SIZE)
        augment = Augment(config, IMAGENET_MEAN, IMAGENET_STD)
        reporter = Reporter(quiet=True)
        counts = torch.bincount(split.labels, minlength=CLASSES)
        self.bench = Workbench(
            train=split,
            val=split,
            classes=Classes([str(label) for label in range(CLASSES)], counts, {}),
            image_shape=(3, SIZE, SIZE),
            backbone=BackboneConfig(),
            augment=augment,
            compute=self.compute,
            features=FeatureStore(folder, augment, SIZE, self.compute, 0, reporter, "benchmark", ""),
            seed=0,
            reporter=reporter,
            after_epoch=lambda stage, epoch, metrics: None,
        )
        self.runs = 0

    def epoch(self) -> float:
        """Seconds of the second epoch, as the engine's own log has them: the first one warms up, as the others do."""
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        (folder / "checkpoint").mkdir(parents=True)
        module = classifier()
        self.compute.place(module)
        member = Member("all", torch.arange(CLASSES), module.backbone, module.head)
        context = StageContext("benchmark", self.bench, folder, {})
        one = Validation(torch.tensor([0]), torch.tensor([0]))
        optim = OptimConfig(epochs=3, batch_size=self.batch, lr=LR, validate_every=3)
        result = context.train(member, optim=optim, validation=one)
        return result.history[1]["seconds"]


def bare(images: int, batch: int, compute: Compute) -> float:
    """Seconds for as many images on one preloaded batch."""
    module = compute.place(classifier()).train()
    inputs = compute.images(torch.randn(batch, 3, SIZE, SIZE))
    targets = torch.randint(0, CLASSES, (batch,))
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        with compute.autocast():
            loss = F.cross_entropy(module(inputs), targets)
        loss.backward()
        optimizer.step()

    step()
    started = time.perf_counter()
    for _ in range(images // batch):
        step()
    return time.perf_counter() - started


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL and torchvision's transforms."""

    def __init__(self, images: ImageList) -> None:
        self.images = images
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(SIZE),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(0.4, 0.4, 0.4, 0),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.images.files[index]) as image:
            return self.transform(image.convert("RGB")), int(self.images.labels[index])


def usual(images: ImageList, batch: int) -> float:
    """Seconds for an epoch of the usual code."""
    module = classifier().train()
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(Pictures(images), batch_size=batch, shuffle=True)
    started = time.perf_counter()
    for inputs, targets in loader:
        optimizer.zero_grad()
        F.cross_entropy(module(inputs), targets).backward()
        optimizer.step()
    return time.perf_counter() - started


def usual_elsewhere(names: list[str], batch: int) -> float:
    """:func:`usual` in a process that has not touched the engine."""
    command = [sys.executable, __file__, "--batch", str(batch), "--usual"]
    done = subprocess.run(command, input="\n".join(names), check=True, capture_output=True, text=True)
    return float(done.stdout)


def labelled(names: list[str]) -> ImageList:
    return ImageList(names, names, np.arange(len(names)) % CLASSES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, help="processes that read; by default as in a run")
    parser.add_argument("--storage", choices=["files", "packed"], default="packed")
    parser.add_argument("--usual", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.usual:
        print(usual(labelled(sys.stdin.read().split("\n")), options.batch))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = [str(file) for file in draw_photos(folder / "photos", options.images)]
        harness = Harness(labelled(names), folder, options.batch, options.storage, options.workers)
        seconds: dict[str, list[float]] = {"harness": [], "bare": [], "usual": []}
        for _ in range(options.rounds):
            seconds["harness"].append(harness.epoch())
            seconds["bare"].append(bare(options.images, options.batch, harness.compute))
            seconds["usual"].append(usual_elsewhere(names, options.batch))
    rate = {name: options.images / statistics.median(values) for name, values in seconds.items()}
    print(
        f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads, precision {harness.compute.precision}, "
        f"storage {options.storage}, workers {options.workers if options.workers is not None else 'as in a run'}"
    )
    for name, value in rate.items():
        print(f"{name:8}{value:8.1f} images/s")
    print(f"harness over bare:  {rate['harness'] / rate['bare']:.2f}   (goal 0.95)")
    print(f"harness over usual: {rate['harness'] / rate['usual']:.2f}   (goal 3)")


if __name__ == "__main__":
    main()
