"""Learned and random augmentation policies on uint8 batches: RandAugment, TrivialAugment, AutoAugment; and erased rectangles.

Each sample has its own operations. What is drawn is drawn on the CPU for the whole batch, so that it does not depend on the
device or on the number of processes. The operations are torchvision's; magnitudes are those of Cubuk et al. 2019 and 2020 (30
levels) and of Müller & Hutter 2021 (wide).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.v2 import functional as F

from ltbench.data.augmentation.augment_config import Policy
from ltbench.data.augmentation.draws import SAMPLES, Draws

LEVELS = 31
"""Of magnitude: 0 to 30. AutoAugment's have ten, 0 to 9."""


@dataclass(frozen=True)
class Chosen:
    """Operations of B samples, one after the other.

    Attributes:
        names: of operations, among which ``operations`` int64[R, B] chooses; -1: none.
        magnitudes: float64[R, B], from 0 to 1 of each one's range, with the sign.
        wide: the ranges are those of TrivialAugment.
    """

    names: tuple[str, ...]
    operations: Tensor
    magnitudes: Tensor
    wide: bool = False


RANDOM = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
    *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
"""What RandAugment and TrivialAugment choose among."""


def draw_policy(policy: Policy, draws: Draws, rounds: int = 2, magnitude: int = 9) -> Chosen | None:
    """Operations for the samples of ``draws``.

    Args:
        rounds: operations of RandAugment.
        magnitude: its level, 0 to 30.
    """
    if policy == "none":
        return None
    if policy == "rand":
        operations = draws.integers(0, len(RANDOM), rounds, SAMPLES)
        signs = draws.integers(0, 2, rounds, SAMPLES) * 2 - 1
        return Chosen(RANDOM, operations, signs * (magnitude / (LEVELS - 1)))
    if policy == "trivial":
        operations = draws.integers(0, len(RANDOM), 1, SAMPLES)
        levels = draws.integers(0, LEVELS, 1, SAMPLES).double() / (LEVELS - 1)
        return Chosen(RANDOM, operations, levels * (draws.integers(0, 2, 1, SAMPLES) * 2 - 1), wide=True)
    names, table, probabilities, levels = _learned(policy)
    chosen = draws.integers(0, len(table), SAMPLES)
    done = draws.uniform(2, SAMPLES, dtype=torch.float64) < probabilities[chosen].T
    signs = draws.integers(0, 2, 2, SAMPLES) * 2 - 1
    return Chosen(names, torch.where(done, table[chosen].T, -1), levels[chosen].T * signs)


@cache
def _learned(policy: Policy) -> tuple[tuple[str, ...], Tensor, Tensor, Tensor]:
    """(names, operations int64[P, 2], probabilities float64[P, 2], magnitudes float64[P, 2]) of the P sub-policies."""
    found = AutoAugment(AutoAugmentPolicy(policy.removeprefix("auto-"))).policies
    names = tuple(sorted({name for pair in found for name, _, _ in pair}))
    table = torch.tensor([[names.index(name) for name, _, _ in pair] for pair in found])
    probabilities = torch.tensor([[probability for _, probability, _ in pair] for pair in found], dtype=torch.float64)
    levels = torch.tensor([[(level or 0) / 9 for _, _, level in pair] for pair in found], dtype=torch.float64)
    return names, table, probabilities, levels


def apply_policy(images: Tensor, chosen: Chosen) -> Tensor:
    """uint8[B, C, H, W] -> uint8[B, C, H, W]; samples with the same operation are done at once."""
    images = images.clone()
    for operations, magnitudes in zip(chosen.operations, chosen.magnitudes, strict=True):
        for number, magnitude in {(int(o), float(m)) for o, m in zip(operations, magnitudes, strict=True)}:
            name = chosen.names[number] if number >= 0 else "Identity"
            if name == "Identity":
                continue
            rows = ((operations == number) & (magnitudes == magnitude)).nonzero().flatten().to(images.device)
            images[rows] = _OPERATIONS[name](images[rows], magnitude, chosen.wide)
    return images


def _shear(axis: int) -> Callable[[Tensor, float, bool], Tensor]:
    def operation(images: Tensor, magnitude: float, wide: bool) -> Tensor:
        angle = float(torch.rad2deg(torch.atan(torch.tensor(magnitude * (0.99 if wide else 0.3), dtype=torch.float64))))
        shear = [angle, 0.0] if axis == 0 else [0.0, angle]
        return F.affine(images, 0.0, [0, 0], 1.0, shear, InterpolationMode.NEAREST, center=[0, 0])

    return operation


def _translate(axis: int) -> Callable[[Tensor, float, bool], Tensor]:
    def operation(images: Tensor, magnitude: float, wide: bool) -> Tensor:
        side = images.shape[3 - axis]
        most = 32.0 if wide else 150.0 / 331.0 * side
        moved = [0, 0]
        moved[axis] = int(magnitude * most)
        return F.affine(images, 0.0, moved, 1.0, [0.0, 0.0], InterpolationMode.NEAREST)

    return operation


def _strength(adjust: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float, bool], Tensor]:
    return lambda images, magnitude, wide: adjust(images, 1 + magnitude * (0.99 if wide else 0.9))


def _posterize(images: Tensor, magnitude: float, wide: bool) -> Tensor:
    return F.posterize(images, 8 - round(abs(magnitude) * (6 if wide else 4)))


_OPERATIONS: dict[str, Callable[[Tensor, float, bool], Tensor]] = {
    "ShearX": _shear(0),
    "ShearY": _shear(1),
    "TranslateX": _translate(0),
    "TranslateY": _translate(1),
    "Rotate": lambda images, magnitude, wide: F.rotate(images, magnitude * (135.0 if wide else 30.0)),
    "Brightness": _strength(F.adjust_brightness),
    "Color": _strength(F.adjust_saturation),
    "Contrast": _strength(F.adjust_contrast),
    "Sharpness": _strength(F.adjust_sharpness),
    "Posterize": _posterize,
    "Solarize": lambda images, magnitude, wide: F.solarize(images, 255.0 * (1 - abs(magnitude))),
    "AutoContrast": lambda images, magnitude, wide: F.autocontrast(images),
    "Equalize": lambda images, magnitude, wide: F.equalize(images),
    "Invert": lambda images, magnitude, wide: F.invert(images),
}
"""images uint8[B, C, H, W], magnitude from -1 to 1, wide -> images."""


def cutout_boxes(draws: Draws, side: int, size: tuple[int, int]) -> Tensor:
    """Squares of Cutout (DeVries & Taylor 2017) for the samples: int64[B, 4] with top, left, bottom, right.

    The centre is uniform in the image of ``size`` (height, width); what lies outside of it is cut off.
    """
    centres = (draws.uniform(SAMPLES, 2, dtype=torch.float64) * torch.tensor(size)).long()
    limits = torch.tensor(size)
    first = (centres - side // 2).clamp_(min=0)
    last = torch.minimum(centres - side // 2 + side, limits)
    return torch.cat([first, last], dim=1)


def erasing_boxes(draws: Draws, probability: float, size: tuple[int, int]) -> Tensor:
    """Rectangles of random erasing (Zhong et al. 2020) for the samples: int64[B, 4] as above; empty ones where nothing is erased.

    0.02 to 1/3 of the area, with a ratio of 0.3 to 3.3; where that does not fit into the image, it is cut off.
    """
    uniform = draws.uniform(SAMPLES, 5, dtype=torch.float64)
    height, width = size
    area = height * width * (0.02 + uniform[:, 1] * (1 / 3 - 0.02))
    low, high = torch.tensor([0.3, 3.3], dtype=torch.float64).log()
    ratio = torch.exp(low + uniform[:, 2] * (high - low))
    heights = (area * ratio).sqrt().round().clamp_(1, height)
    widths = (area / ratio).sqrt().round().clamp_(1, width)
    top, left = (uniform[:, 3] * (height - heights + 1)).floor(), (uniform[:, 4] * (width - widths + 1)).floor()
    boxes = torch.stack([top, left, top + heights, left + widths], dim=1).long()
    return torch.where(uniform[:, :1] < probability, boxes, 0)


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Normalised images float[B, C, H, W], set to 0 (the mean) in the boxes int64[B, 4]; in place."""
    top, left, bottom, right = boxes.to(images.device)[:, :, None].unbind(1)
    rows, columns = (
        torch.arange(images.shape[2], device=images.device),
        torch.arange(images.shape[3], device=images.device),
    )
    inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None, :]
    return images.masked_fill_(inside[:, None], 0.0)
