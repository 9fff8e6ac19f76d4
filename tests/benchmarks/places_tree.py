"""A drawn tree with Places-LT's real class counts through ``data check``, ``data pack`` and ``run``, each timed.

    python tests/benchmarks/places_tree.py [--lists DIR] [--folder DIR] [--side 40]

365 classes, 62,500 training, 7,300 validation and 36,500 test JPEGs of a few hundred bytes: two colours a class, and noise.
They lie where the annotation lists say. With ``--lists`` these are Places-LT's own (``ltbench data fetch places-lt``), else
lists with the same number of images in each class. The run uses the places-lt recipe but for the network (ResNet-10 with
16 to 128 channels, untrained), the size of the images (32) and the epochs (1 each).
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from ltbench_datasets.published.annotations import read_annotations
from ltbench_datasets.published.facts import known_counts
from PIL import Image

VAL, TEST = 20, 100
SMALLER = {
    "backbone.name": "resnet10",
    "backbone.pretrained": "false",
    "backbone.kwargs.widths": "[16, 32, 64, 128]",
    "augment.size": "32",
    "baseline.optim.epochs": "1",
    "experts.optim.epochs": "1",
}


def draw_lists(folder: Path) -> None:
    """Lists with the real counts in the spelling ``train/<category>/``."""
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, count in enumerate(known_counts("places-lt").by_split["train"].tolist()):
        for split, first, number in (("train", 0, count), ("val", count, VAL), ("test", 0, TEST)):
            place, name = ("val", f"Places365_val_{label:04d}") if split == "test" else ("train", "")
            lists[split] += [f"{place}/room{label:03d}/{name}{first + k:08d}.jpg {label}" for k in range(number)]
    folder.mkdir(parents=True)
    for split, lines in lists.items():
        (folder / f"Places_LT_{split}.txt").write_text("\n".join(lines) + "\n")


def draw_images(root: Path, lists: Path, side: int) -> int:
    """A JPEG at every path of the lists; returns how many."""
    rng = np.random.default_rng(0)
    colours = rng.integers(20, 236, (365, 2, 3))
    drawn = 0
    for file in sorted(lists.glob("Places_LT_*")):
        listed = read_annotations(file)
        for path, label in zip(listed.paths, listed.labels.tolist(), strict=True):
            pixels = rng.normal(0, 25, (side, side, 3)) + colours[label, 0]
            pixels[: side // 2] += colours[label, 1] - colours[label, 0]
            content = BytesIO()
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=60)
            target = root / path
            if not target.parent.is_dir():
                target.parent.mkdir(parents=True)
            target.write_bytes(content.getvalue())
            drawn += 1
    return drawn


def timed(*arguments: str) -> None:
    """Run one command of ltbench and say how long it took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ltbench", *arguments], check=True)
    print(f"=== {time.perf_counter() - started:.1f} s: ltbench {' '.join(arguments[:2])}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=Path, help="folder of Places-LT's annotation lists")
    parser.add_argument("--folder", type=Path, help="where to draw; by default a temporary folder")
    parser.add_argument("--side", type=int, default=40, help="pixels of a drawn image")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["LTBENCH_CACHE"] = str(Path(temporary) / "cache")  # nothing is there from an earlier time
        root = options.folder or Path(temporary) / "places"
        lists = options.lists or root / "lists"
        if not root.is_dir():
            started = time.perf_counter()
            root.mkdir(parents=True)
            if options.lists is None:
                draw_lists(lists)
            elif not list(lists.glob("Places_LT_*")):
                parser.error(f"{lists} holds no file Places_LT_*; name the folder of one variant.")
            print(f"drew {draw_images(root, lists, options.side):,} images in {time.perf_counter() - started:.0f} s\n")
        where = ("places-lt", "--data-root", str(root), "--set", f"lists={lists}")
        timed("data", "check", *where)
        timed("data", "pack", *where, "--set", "short_side=36")
        smaller = [part for key, value in SMALLER.items() for part in ("--set", f"{key}={value}")]
        run = ["run", "--dataset", "places-lt", "--data-root", str(root), "--method", "experts", "--fuser", "joint"]
        run += ["--set", f"dataset.options.lists={lists}", *smaller]
        timed(*run)
        timed(*run, "--set", "dataset.options.storage=packed", "--set", "dataset.options.short_side=36")
    print(f"peak memory of one process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
