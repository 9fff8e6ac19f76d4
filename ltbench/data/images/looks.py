"""What the images of a dataset look like, by a few of them: their size, and whether they are grey. For suggesting settings."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ltbench.data.images.image_bytes import BadImage, stamp
from ltbench.data.images.packed_file import PackedFile

__all__ = ["Looks"]

SAMPLE = 256
"""Images that are looked at, at equal steps through the training images."""

_GREY = ("1", "L", "LA", "I", "I;16", "F")


@dataclass(frozen=True)
class Looks:
    """What a sample of images looks like.

    Attributes:
        side: median of their short sides, pixels.
        grey: whether all are.
    """

    side: int
    grey: bool


def look_at(files: Sequence[str]) -> Looks | None:
    """Looks of image files, by the headers of some; None where no header can be read: the run will say so."""
    found = []
    for position in _sample(len(files)):
        try:
            found.append(_header(files[position]))
        except (BadImage, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # damaged, or no image: not this one's to tell
    return _looks(found)


def _header(file: str) -> tuple[int, bool]:
    stamp(file)  # what is no regular file is not opened
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decoded here
        with Image.open(file) as image:
            return min(image.size), image.mode in _GREY


def look_at_packed(packed: PackedFile) -> Looks | None:
    """Looks of a packed copy, which keeps grey images in three equal channels. Raises DataError where it is damaged."""
    pictures = (packed.pixels(position) for position in _sample(len(packed.table)))
    return _looks((min(each.shape[:2]), bool((each == each[..., :1]).all())) for each in pictures)


def _sample(number: int) -> list[int]:
    steps = np.linspace(0, number - 1, min(number, SAMPLE))
    return [int(position) for position in steps.round()]


def _looks(found: Iterable[tuple[int, bool]]) -> Looks | None:
    seen = list(found)
    return Looks(int(np.median([side for side, _ in seen])), all(grey for _, grey in seen)) if seen else None
