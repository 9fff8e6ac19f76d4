"""ImageNet-LT and Places-LT drawn small: lists in the published format, images in the layout of the official downloads."""

from pathlib import Path

import numpy as np
from PIL import Image

from .drawn_lists import Lines, places_lists, write_lists

COUNTS = (110, 100, 40, 20, 6, 5)
"""Training images of each class: two Many-, two Medium- and two Few-shot classes."""

VAL, TEST = 4, 5
"""Of every class."""


def draw(dataset: str, root: Path) -> Path:
    """The lists and the images of a dataset below ``root``, which is returned."""
    if dataset == "places-lt":
        lists = places_lists("class-balanced-experts", COUNTS, VAL, TEST)
        write_lists(root, "Places_LT", lists)
        _draw_images(root, lists)
    else:
        write_lists(root, "ImageNet_LT", _imagenet_lists(test_folder="val/{}"))
        _draw_images(root, _imagenet_lists(test_folder="val"))
    return root


def _imagenet_lists(test_folder: str) -> Lines:
    """The official archive has all test images in one folder, the list gives each class its own: ``val/{}``."""
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, images in enumerate(COUNTS):
        name = f"n{1440764 + 1000 * label:08d}"
        paths = [f"train/{name}/{name}_{image}.JPEG {label}" for image in range(images + VAL)]
        lists["train"] += paths[:images]
        lists["val"] += paths[images:]
        first, folder = label * TEST + 1, test_folder.format(name)
        lists["test"] += [f"{folder}/ILSVRC2012_val_{first + image:08d}.JPEG {label}" for image in range(TEST)]
    return lists


def _draw_images(root: Path, lists: Lines) -> None:
    """A picture of a few pixels for each line; each class has a colour of its own."""
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 216, (len(COUNTS), 3))
    for line in (line for lines in lists.values() for line in lines):
        path, _, label = line.rpartition(" ")
        pixels = (colours[int(label)] + rng.normal(0, 20, (18, 24, 3))).clip(0, 255).astype(np.uint8)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / path, "JPEG")
