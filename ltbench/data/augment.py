"""Augmentation and normalisation of whole uint8 batches on their device, each sample with its own random parameters.

The parameters are drawn on the CPU from the given generator and then moved, so that they do not depend on the device.
"""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor
from torch.nn import functional as F

from ltbench.data.color import jitter_color

_EVAL_MARGIN = 256 / 224
"""Short side of the resized image over that of the centre crop, at evaluation."""

_CROP_ATTEMPTS = 10


class AugmentConfig(BaseModel):
    """What happens to a training image, in this order: crop, shift, flip, colour jitter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shift: int = Field(
        default=0, ge=0, description="Random translation of up to so many pixels along each axis; edges are repeated."
    )
    flip: bool = Field(default=False, description="Mirror left and right with probability 1/2.")
    crop_scale: tuple[float, float] | None = Field(
        default=None, description="Random resized crop: bounds on its share of the image's area. None: no crop."
    )
    crop_ratio: tuple[float, float] = Field(
        default=(3 / 4, 4 / 3), description="Random resized crop: bounds on its width over its height."
    )
    color_jitter: tuple[float, float, float, float] = Field(
        default=(0.0, 0.0, 0.0, 0.0),
        description="Strength of brightness, contrast, saturation and hue jitter, as in torchvision.",
    )
    size: int | None = Field(
        default=None,
        ge=1,
        description="Side of the square images that the network sees. Without a random crop the short side is resized "
        "to size * 256 / 224 (to size, where the image stored is no larger), the centre cropped. None: as stored.",
    )

    @model_validator(mode="after")
    def _check(self) -> "AugmentConfig":
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale {self.crop_scale}: expected 0 < low <= high <= 1")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError(f"crop_ratio {self.crop_ratio}: expected 0 < low <= high")
        if min(self.color_jitter) < 0 or self.color_jitter[3] > 0.5:
            raise ValueError(f"color_jitter {self.color_jitter}: expected values of at least 0, and hue of at most 0.5")
        return self


class Augment:
    """Turns uint8 batches into what the network sees.

    Args:
        config: what to do.
        mean, std: per channel, or one for all, in units of 0..1.
    """

    def __init__(self, config: AugmentConfig, mean: Sequence[float], std: Sequence[float]) -> None:
        self.config = config
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        self._std = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)

    def train(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Augmented and normalised: uint8[B, C, H, W] -> float32[B, C, h, w]. ``generator`` is a CPU generator."""
        config = self.config
        if config.crop_scale is None:
            images = self._resized(images)
        else:
            boxes = _crop_boxes(images.shape, config.crop_scale, config.crop_ratio, generator)
            images = _crop(images, boxes, (config.size, config.size) if config.size else images.shape[2:])
        if config.shift or config.flip:
            images = _shift_and_flip(images, config.shift, config.flip, generator)
        if any(config.color_jitter):
            images = jitter_color(_unit_range(images), config.color_jitter, generator)
        return self._normalised(images)

    def plain(self, images: Tensor) -> Tensor:
        """Resized, where ``size`` asks for it, and normalised: uint8[B, C, H, W] -> float32[B, C, h, w]."""
        return self._normalised(self._resized(images))

    def _resized(self, images: Tensor) -> Tensor:
        """Short side resized and centre cropped to ``size``; as stored, where no size is set or it has that size."""
        size, (height, width) = self.config.size, images.shape[2:]
        if size is None or size == height == width:
            return images
        # Sizes are rounded as in torchvision's Resize and CenterCrop.
        shortest = min(height, width)
        target = round(size * _EVAL_MARGIN) if shortest > size else size
        if target != shortest:
            height, width = target * height // shortest, target * width // shortest
            images = F.interpolate(_unit_range(images), (height, width), mode="bilinear", antialias=True)
        top, left = round((height - size) / 2), round((width - size) / 2)
        return images[:, :, top : top + size, left : left + size]

    def _normalised(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        if self._mean.numel() not in (1, channels):
            raise ValueError(f"{self._mean.numel()} means for images of {channels} channels")
        mean, std = self._mean.to(images.device), self._std.to(images.device)
        return (_unit_range(images) - mean) / std


def _unit_range(images: Tensor) -> Tensor:
    """uint8 as float32 in 0..1; float images are there already."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _shift_and_flip(images: Tensor, shift: int, flip: bool, generator: Generator | None) -> Tensor:
    """Translate by whole pixels with repeated edges, then mirror: one gather for the batch."""
    batch, channels, height, width = images.shape
    offsets = torch.randint(-shift, shift + 1, (2, batch, 1), generator=generator)
    rows = (torch.arange(height) + offsets[0]).clamp_(0, height - 1)
    columns = (torch.arange(width) + offsets[1]).clamp_(0, width - 1)
    if flip:
        mirrored = torch.rand(batch, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    source = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, -1).to(images.device, non_blocking=True)
    return images.flatten(2).gather(2, source.expand(-1, channels, -1)).view_as(images)


def _crop_boxes(
    shape: torch.Size, scale: tuple[float, float], ratio: tuple[float, float], generator: Generator | None
) -> Tensor:
    """Boxes of a random resized crop: int64[B, 4] with top, left, height, width.

    As in torchvision: the first of ten draws that fits into the image; where none does, the largest centred box with a
    permitted ratio.
    """
    batch, _, height, width = shape
    uniform = torch.rand(4, batch, _CROP_ATTEMPTS, generator=generator, dtype=torch.float64)
    area = height * width * (scale[0] + uniform[0] * (scale[1] - scale[0]))
    low, high = torch.tensor(ratio, dtype=torch.float64).log()
    aspect = torch.exp(low + uniform[1] * (high - low))
    widths = (area * aspect).sqrt().round().long()
    heights = (area / aspect).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    tops = (uniform[2] * (height - heights + 1)).floor().long()
    lefts = (uniform[3] * (width - widths + 1)).floor().long()
    first = fits.int().argmax(dim=1)
    boxes = torch.stack([tops, lefts, heights, widths], dim=2)[torch.arange(batch), first]
    box_width = min(width, round(height * ratio[1]))
    box_height = min(height, round(width / ratio[0]))
    centred = torch.tensor([(height - box_height) // 2, (width - box_width) // 2, box_height, box_width])
    return torch.where(fits.any(dim=1, keepdim=True), boxes, centred)


def _crop(images: Tensor, boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Each sample's box, resized bilinearly to ``size`` (h, w): float32[B, C, h, w] in 0..1.

    There is no antialiasing: crops of images stored near the network's size are enlarged more often than reduced.
    """
    height, width = images.shape[2:]
    top, left, box_height, box_width = boxes.to(images.device, torch.float32, non_blocking=True).split(1, dim=1)
    grid_y = _sample_points(top, box_height, size[0], height, images.device)
    grid_x = _sample_points(left, box_width, size[1], width, images.device)
    grid = torch.stack([grid_x[:, None, :].expand(-1, size[0], -1), grid_y[:, :, None].expand(-1, -1, size[1])], dim=3)
    return F.grid_sample(_unit_range(images), grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sample_points(start: Tensor, extent: Tensor, points: int, side: int, device: torch.device) -> Tensor:
    """Where ``points`` output pixels fall along one axis, in the -1..1 of ``grid_sample``: float32[B, points]."""
    centres = (torch.arange(points, device=device) + 0.5) / points
    pixels = torch.clamp(start + centres * extent - 0.5, start, start + extent - 1)
    return (2 * pixels + 1) / side - 1
