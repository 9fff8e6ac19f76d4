"""Which part of a stored image the network sees: a box of it, resized to a square. Images may differ in size."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.data.augmentation.draws import SAMPLES, Draws

__all__ = ["CentreCut", "Cut", "RandomCut"]

EVAL_MARGIN = 256 / 224
"""Short side of the resized image over that of the centre crop, at evaluation."""

_ATTEMPTS = 10


@dataclass(frozen=True)
class Cut(ABC):
    """A box of each image of a batch.

    Attributes:
        size: side of the square that each box is resized to, pixels.
    """

    size: int

    @abstractmethod
    def boxes(self, sizes: Tensor) -> Tensor:
        """Boxes float64[B, 4] (top, left, height, width) in images of ``sizes`` int64[B, 2] (height, width)."""


@dataclass(frozen=True)
class CentreCut(Cut):
    """The centred square of 224/256 of the short side: Resize(256) and CenterCrop(224) in one.

    An image whose short side is not larger than ``size`` is cut at its whole short side.
    """

    def boxes(self, sizes: Tensor) -> Tensor:
        short = sizes.min(dim=1).values.double()
        side = torch.where(short > self.size, short * self.size / round(self.size * EVAL_MARGIN), short)
        corner = (sizes - side[:, None]) / 2
        return torch.cat([corner, side[:, None], side[:, None]], dim=1)


@dataclass(frozen=True)
class CornerCut(Cut):
    """A square of 224/256 of the short side, anywhere: Resize(256) and a crop of FiveCrop(224) in one, for images of any size.

    Attributes:
        place: where it lies, down and to the right: from 0, at one edge, to 1, at the other.
    """

    place: tuple[float, float]

    def boxes(self, sizes: Tensor) -> Tensor:
        side = sizes.min(dim=1).values.double() * self.size / round(self.size * EVAL_MARGIN)
        corner = (sizes - side[:, None]) * torch.tensor(self.place, dtype=torch.float64)
        return torch.cat([corner, side[:, None], side[:, None]], dim=1)


@dataclass(frozen=True)
class RandomCut(Cut):
    """Boxes of a random resized crop.

    Attributes:
        scale: bounds on the share of the image's area.
        ratio: bounds on width over height.
        uniform: float64[4, B, 10], random numbers in [0, 1), see ``draw_uniform``.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float]
    uniform: Tensor

    def boxes(self, sizes: Tensor) -> Tensor:
        return random_boxes(sizes, self.scale, self.ratio, self.uniform)


def draw_uniform(draws: Draws) -> Tensor:
    """float64[4, B, 10]: what :func:`random_boxes` needs for B images."""
    return draws.uniform(4, SAMPLES, _ATTEMPTS, dtype=torch.float64)


def random_boxes(sizes: Tensor, scale: tuple[float, float], ratio: tuple[float, float], uniform: Tensor) -> Tensor:
    """Boxes of a random resized crop in whole pixels: float64[B, 4] with top, left, height, width.

    As in torchvision: the first of ten draws that fits into the image; where none does, the largest centred box with a
    permitted ratio.

    Args:
        sizes: int64[B, 2], height and width of each image.
        scale, ratio: bounds as in :class:`RandomCut`.
        uniform: float64[4, B, 10] from :func:`draw_uniform`.
    """
    height, width = sizes.double()[:, :1], sizes.double()[:, 1:]
    area = height * width * (scale[0] + uniform[0] * (scale[1] - scale[0]))
    low, high = torch.tensor(ratio, dtype=torch.float64).log()
    aspect = torch.exp(low + uniform[1] * (high - low))
    widths, heights = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    tops = (uniform[2] * (height - heights + 1)).floor()
    lefts = (uniform[3] * (width - widths + 1)).floor()
    first = fits.int().argmax(dim=1)
    drawn = torch.stack([tops, lefts, heights, widths], dim=2)[torch.arange(len(sizes)), first]
    box_width = torch.minimum(width, (height * ratio[1]).round())
    box_height = torch.minimum(height, (width / ratio[0]).round())
    top, left = ((height - box_height) / 2).floor(), ((width - box_width) / 2).floor()
    centred = torch.cat([top, left, box_height, box_width], dim=1)
    return torch.where(fits.any(dim=1, keepdim=True), drawn, centred)
