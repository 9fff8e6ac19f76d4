"""Lists and image trees in the layouts of the published benchmarks, drawn: none of their lines is a published one."""

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

SPELLINGS = ("class-balanced-experts", "easy-dir", "data_256")
TREES = ("easy", "tar", "original")

Lines = Mapping[str, Sequence[str]]
"""List -> its lines."""


def categories(number: int) -> list[str]:
    """Names like those of Places365, ascending; every third is nested."""
    return [
        f"{chr(97 + index * 26 // number)}_room{index:03d}{'-indoor' if index % 3 == 1 else ''}"
        for index in range(number)
    ]


def places_lists(spelling: str, train: Sequence[int], val: int, test: int) -> dict[str, list[str]]:
    """Places-LT's three lists in one of the spellings, with so many images of each class."""
    names = categories(len(train))
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label, (name, images) in enumerate(zip(names, train, strict=True)):
        folder = {
            "class-balanced-experts": f"places365_standard/train/{name}",
            "easy-dir": f"train/{name}",
            "data_256": f"data_256/{name[0]}/{name.replace('-', '/')}",
        }[spelling]
        test_folder = f"val/{name}" if spelling == "easy-dir" else "val_256"
        # the same file names in every category, as in the real ones
        lists["train"] += [f"{folder}/{image:08d}.jpg {label}" for image in range(images)]
        lists["val"] += [f"{folder}/{images + image:08d}.jpg {label}" for image in range(val)]
        lists["test"] += [
            f"{test_folder}/Places365_val_{label * test + image:08d}.jpg {label}" for image in range(test)
        ]
    return lists


def write_lists(folder: Path, stem: str, lists: Lines) -> Path:
    """``<stem>_<list>.txt`` in ``folder``, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in lists.items():
        (folder / f"{stem}_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def draw_tree(root: Path, *listed: Sequence[str], below: str = "") -> Path:
    """An image at the path of every line, below ``root / below``; returns ``root``."""
    for line in (line for lines in listed for line in lines):
        file = root / below / line.rpartition(" ")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg())
    return root


def draw_places_tree(root: Path, tree: str, train: Sequence[int], val: int, test: int) -> Path:
    """The images of :func:`places_lists` as one of the official downloads unpacks them."""
    lists = places_lists("data_256" if tree == "original" else "easy-dir", train, val, test)
    return draw_tree(root, *lists.values(), below="places365_standard" if tree == "tar" else "")


@cache
def jpeg() -> bytes:
    """A small image."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()
