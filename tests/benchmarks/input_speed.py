"""Images per second and core of the input pipelines, each as a ratio to the usual one and to decoding alone.

    python tests/benchmarks/input_speed.py [--images 200] [--rounds 5]

Drawn 500 x 375 JPEGs; RandomResizedCrop(224), horizontal flip, ColorJitter(0.4, 0.4, 0.4, 0), normalisation. One thread.
The ways take turns within each round; printed is the median over the rounds.

- usual: PIL decodes, torchvision's transforms on PIL images, float32, image by image, as the published repositories do.
- files, packed: what ltbench reads from the originals and from a packed copy: cut and resized, uint8.
- "to the network": with flip, jitter and normalisation, which ltbench does batch by batch on the device; here the CPU.

Goals for the input alone: files twice the usual way and 0.7 of decoding alone; packed 5 times the usual way.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from photos import draw_photos
from PIL import Image
from torchvision import transforms
from torchvision.io import ImageReadMode, decode_jpeg

from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.draws import Draws
from ltbench.data.base import CutSplit
from ltbench.data.images.file_dataset import IMAGENET_MEAN, IMAGENET_STD
from ltbench.data.images.image_files import ImageFileSplit, read_image
from ltbench.data.images.image_list import ImageList
from ltbench.data.images.packed import PackedSplit, PackSettings, pack
from ltbench.engine.machine.compute import keep_freed_memory

BATCH = 50


def usual(files: list[Path]) -> Callable[[], object]:
    """PIL and torchvision's transforms."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.4, 0.4, 0.4, 0),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )

    def all_of_them() -> object:
        for file in files:
            with Image.open(file) as image:
                transform(image.convert("RGB"))
        return None

    return all_of_them


def torchvision_decode(files: list[Path]) -> Callable[[], object]:
    """Decoding with torchvision and nothing else."""

    def all_of_them() -> object:
        for file in files:
            decode_jpeg(torch.from_numpy(np.fromfile(file, dtype=np.uint8)), ImageReadMode.RGB)
        return None

    return all_of_them


def own_decode(files: list[Path]) -> Callable[[], object]:
    """Decoding as ltbench does and nothing else."""
    return lambda: [read_image(str(file)) for file in files] and None


def own(split: CutSplit, augment: Augment, to_the_network: bool) -> Callable[[], object]:
    """ltbench's input, with or without the part that it leaves to the device."""
    generator = torch.Generator().manual_seed(0)

    def all_of_them() -> object:
        for start in range(0, len(split), BATCH):
            indices = list(range(start, min(start + BATCH, len(split))))
            draws = Draws(generator, len(indices))
            batch = split.cut(indices, augment.training_cut([draws], 224))
            if to_the_network:
                augment.train(batch.images, draws, cut=True)
        return None

    return all_of_them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as in every run on a CPU; all the ways have it
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # torchvision's decoder is deprecated
    augment = Augment(
        AugmentConfig(crop_scale=(0.08, 1.0), flip=True, color_jitter=(0.4, 0.4, 0.4, 0.0), size=224),
        IMAGENET_MEAN,
        IMAGENET_STD,
    )
    with tempfile.TemporaryDirectory() as folder:
        files = draw_photos(Path(folder), options.images)
        print(f"{len(files)} JPEGs of 500 x 375, {sum(f.stat().st_size for f in files) / len(files) / 1e3:.0f} kB each")
        names = [str(file) for file in files]
        images = ImageList(names, names, np.zeros(len(files), np.int64))
        originals = ImageFileSplit(images, 224)
        packed = PackedSplit(images, pack(images, Path(folder) / "x.pack", PackSettings()), PackSettings(), 224)
        ways = {
            "usual": usual(files),
            "decode, torchvision": torchvision_decode(files),
            "decode, ltbench": own_decode(files),
            "files": own(originals, augment, False),
            "packed": own(packed, augment, False),
            "files, to the network": own(originals, augment, True),
            "packed, to the network": own(packed, augment, True),
        }
        seconds = {name: [] for name in ways}
        for way in ways.values():
            way()
        for _ in range(options.rounds):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
    rate = {name: options.images / statistics.median(values) for name, values in seconds.items()}
    print(f"{'':24}{'images/s':>10}{'x usual':>10}{'x decode':>10}")
    for name, value in rate.items():
        print(f"{name:24}{value:10.0f}{value / rate['usual']:10.2f}{value / rate['decode, torchvision']:10.2f}")


if __name__ == "__main__":
    main()
