"""What three experts on one trunk cost, beside one classifier and beside three networks of their own; training and evaluation.

    python tests/benchmarks/shared_trunk.py [--backbone resnet10] [--size 112] [--images 512] [--batch 64] [--rounds 5]

docs/examples/three_experts.py (RIDE without the routing): each expert has the network's last block and a classifier of its own,
what lies below is computed once. All three are trained by the engine with that example's objective, and evaluated by it:

- one: one classifier;
- shared: three experts on one trunk;
- separate: three whole networks.

They take turns within each round; printed are medians over the rounds, and beside them the ratio of the operations (multiply and
add) of a pass without gradients, counted by torch: what the times could come to if time went with operations.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from machine import describe
from stand import CLASSES, stage, workbench
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ltbench.backbones.create import create_backbone
from ltbench.backbones.forks import fork
from ltbench.config import ComputeConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.base import TensorSplit
from ltbench.data.images.file_dataset import IMAGENET_MEAN, IMAGENET_STD
from ltbench.engine.context import StageContext
from ltbench.engine.fitting.trainee import SideBySide, Trainee
from ltbench.engine.machine.compute import Compute
from ltbench.engine.workbench import Workbench
from ltbench.method import Member, Validation
from ltbench.training.optim import OptimConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "examples"))
ThreeExperts: Any = import_module("three_experts").ThreeExperts

WAYS = ("one", "shared", "separate")


def members_of(way: str, backbone: str, shape: tuple[int, int, int], compute: Compute) -> list[Member]:
    """One member, three with a common trunk, or three with networks of their own; on the device."""
    torch.manual_seed(0)
    backbones = [create_backbone(backbone, image_shape=shape) for _ in range(3 if way == "separate" else 1)]
    if way == "shared":
        backbones = fork(backbones[0], ThreeExperts.Config().own_blocks, number=3)
    made = [
        Member(f"expert{number}", torch.arange(CLASSES), each, nn.Linear(each.num_features, CLASSES))
        for number, each in enumerate(backbones)
    ]
    for member in made:
        compute.place(member.module)
    return made


def together(members: list[Member]) -> SideBySide:
    """All of them as one module, as the engine trains them."""
    return SideBySide(Trainee({member.name: (member.backbone, member.head) for member in members}))


def training(context: StageContext, members: list[Member], batch: int) -> float:
    """Seconds of the second epoch, by the engine's own log; the first one warms up."""
    method = ThreeExperts(ThreeExperts.Config())
    one = Validation(torch.tensor([0]), torch.tensor([0]))
    optim = OptimConfig(epochs=3, batch_size=batch, lr=0.01, validate_every=3)
    return context.train(members, optim=optim, objective=method.objective, validation=one).history[1]["seconds"]


def evaluation(bench: Workbench, members: list[Member]) -> float:
    """Seconds until the logits of all members are there, as a run computes them; ``bench`` holds no features yet."""
    started = time.perf_counter()
    bench.features.logits(members, "val", bench.val)
    return time.perf_counter() - started


def operations(members: list[Member], shape: tuple[int, int, int], compute: Compute) -> int:
    """Of a pass over two images."""
    module, images = together(members).eval(), compute.images(torch.randn(2, *shape))
    counter = FlopCounterMode(display=False)
    with torch.no_grad():
        module(images)  # traces what is common
        with counter:
            module(images)
    return counter.get_total_flops()


def rounds(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, tuple[float, float]]]:
    """Way -> seconds of training and of evaluation, again and again."""
    shape, compute = (3, options.size, options.size), Compute(ComputeConfig(device=options.device))
    augment = Augment(AugmentConfig(flip=True), IMAGENET_MEAN, IMAGENET_STD)
    drawn = torch.randint(
        0, 256, (options.images, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    split = TensorSplit(drawn, torch.arange(options.images) % CLASSES)
    for number in itertools.count():
        found = {}
        for way in WAYS:
            draft = folder / f"{way}{number}"
            bench = workbench(split, compute, augment, shape, draft)
            members = members_of(way, options.backbone, shape, compute)
            found[way] = training(stage(bench, draft), members, options.batch), evaluation(bench, members)
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet10", help="a timm model")
    parser.add_argument("--size", type=int, default=112, help="side of the images")
    parser.add_argument("--images", type=int, default=512, help="of an epoch and of an evaluation")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    shape, compute = (3, options.size, options.size), Compute(ComputeConfig(device=options.device))
    counted = {way: operations(members_of(way, options.backbone, shape, compute), shape, compute) for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        found = list(itertools.islice(rounds(options, Path(folder)), options.rounds))
    print(f"{describe()}, {compute.device.type}, {compute.precision}; {options.backbone} at {options.size} pixels")
    print(f"{'':12}{'operations':>12}{'training':>12}{'evaluation':>12}      (over one)")
    medians = {way: [statistics.median(each[way][part] for each in found) for part in (0, 1)] for way in WAYS}
    for way in WAYS:
        ratios = [counted[way] / counted["one"], *(medians[way][part] / medians["one"][part] for part in (0, 1))]
        seconds = ", ".join(f"{options.images / value:.0f} images/s" for value in medians[way])
        print(f"{way:12}" + "".join(f"{ratio:12.2f}" for ratio in ratios) + f"      {seconds}")
    saved = [medians["shared"][part] / medians["separate"][part] for part in (0, 1)]
    print(
        f"three on one trunk, over three networks: operations {counted['shared'] / counted['separate']:.2f}, "
        f"training {saved[0]:.2f}, evaluation {saved[1]:.2f}"
    )


if __name__ == "__main__":
    main()
