"""How training grows with images and classes: one epoch of the baseline at 100, 365, 1,000 and 8,142 classes.

    python tests/benchmarks/growth.py [--images 20000] [--classes 100 365 1000 8142]

Drawn 28 x 28 images, ResNet-10 with 24 to 192 channels, batch 128, float32. The class counts have the shape of glyphs-lt,
Places-LT, ImageNet-LT and iNaturalist 2018, scaled to the same number of images (at least 2 a class); then the images of
the largest are doubled. The images are noise around one of 97 pictures: what is timed does not depend on them. Each line
runs in a process of its own; memory is its peak, with the images.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ltbench_datasets.glyphs import GlyphsOptions
from ltbench_datasets.published.facts import known_counts
from machine import describe, peak
from torch import Tensor

from ltbench.backbones.create import create_backbone
from ltbench.config import BackboneConfig, ComputeConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.base import TensorSplit
from ltbench.engine.context import StageContext
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.workbench import Workbench
from ltbench.method import Classes, Member
from ltbench.training.optim import OptimConfig

PROFILES = {365: "places-lt", 1000: "imagenet-lt", 8142: "inaturalist2018"}
SIDE, PICTURES, VAL = 28, 97, 2000


def profile(classes: int, images: int) -> np.ndarray:
    """int64[C]: the real counts' shape, about so many images in all."""
    real = known_counts(PROFILES[classes]).by_split["train"] if classes in PROFILES else GlyphsOptions().counts()
    return np.maximum(2, np.round(real * (images / real.sum()))).astype(np.int64)


def drawn(labels: Tensor, generator: torch.Generator) -> TensorSplit:
    pictures = torch.randint(0, 200, (PICTURES, 1, SIDE, SIDE), generator=generator)
    noise = torch.randint(0, 56, (len(labels), 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return TensorSplit(pictures.to(torch.uint8)[labels % PICTURES] + noise, labels)


def measure(classes: int, images: int) -> None:
    """Print one line."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.from_numpy(profile(classes, images))
    train = drawn(torch.arange(classes).repeat_interleave(counts), generator)
    val = drawn(torch.arange(VAL) % classes, generator)
    compute, reporter = Compute(ComputeConfig(device="cpu", precision="fp32")), Reporter(quiet=True)
    augment = Augment(AugmentConfig(shift=2), (0.5,), (0.25,))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "checkpoint").mkdir()
        bench = Workbench(
            train=train,
            val=val,
            classes=Classes([str(label) for label in range(classes)], counts, {}),
            image_shape=(1, SIDE, SIDE),
            backbone=BackboneConfig(),
            augment=augment,
            compute=compute,
            features=FeatureStore(folder, augment, SIDE, compute, 0, reporter, "benchmark", ""),
            seed=0,
            reporter=reporter,
            after_epoch=lambda stage, epoch, metrics: None,
        )
        small = {"widths": (24, 48, 96, 192), "stem_kernel": 3, "max_pool": False}
        backbone = create_backbone("resnet10", image_shape=(1, SIDE, SIDE), kwargs=small)
        member = Member("all", torch.arange(classes), backbone, torch.nn.Linear(backbone.num_features, classes))
        compute.place(member.module)
        started = time.perf_counter()
        optim = OptimConfig(epochs=1, batch_size=128, lr=0.05)
        StageContext("benchmark", bench, folder, {}).train(member, optim=optim)
        seconds = time.perf_counter() - started
    print(classes, len(train), seconds, peak() / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[100, *PROFILES])
    parser.add_argument("--one", type=int, nargs=2, metavar=("CLASSES", "IMAGES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(*options.one)
        return
    print(f"{describe()}; one epoch with its validation on {VAL:,} images")
    print(f"{'classes':>8}{'images':>9}{'s':>8}{'images/s':>10}{'GB':>7}{'time an image, over the first':>32}")
    first = 0.0
    cases = [(classes, options.images) for classes in options.classes]
    for classes, images in [*cases, (cases[-1][0], 2 * options.images)]:
        command = [sys.executable, __file__, "--one", str(classes), str(images)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        _, count, seconds, memory = (float(word) for word in done.stdout.split())
        first = first or seconds / count
        print(
            f"{classes:8}{count:9,.0f}{seconds:8.1f}{count / seconds:10.0f}{memory:7.2f}{seconds / count / first:32.2f}"
        )


if __name__ == "__main__":
    main()
