"""Augmentation and normalisation of whole uint8 batches on their device, each sample with its own random parameters.

The parameters are drawn on the CPU from the given generator and then moved, so that they do not depend on the device.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ltbench.data.augmentation.augment_config import AugmentConfig
from ltbench.data.augmentation.color import draw_jitter, jitter_color
from ltbench.data.augmentation.cuts import EVAL_MARGIN, CentreCut, CornerCut, Cut, RandomCut, draw_uniform, random_boxes
from ltbench.data.augmentation.draws import SAMPLES, Draws
from ltbench.data.augmentation.policies import Chosen, apply_policy, cutout_boxes, draw_policy, erase, erasing_boxes
from ltbench.data.augmentation.views import CROPS, Look

__all__ = ["Augment", "AugmentConfig"]


class Augment:
    """Turns uint8 batches into what the network sees.

    Args:
        config: what to do.
        mean: per channel, or one for all, in units of 0..1.
        std: the same.
    """

    def __init__(self, config: AugmentConfig, mean: Sequence[float], std: Sequence[float]) -> None:
        self.config = config
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        self._std = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)

    def changed(self, config: AugmentConfig) -> "Augment":
        """With other settings."""
        other = copy.copy(self)
        other.config = config
        return other

    def train(self, images: Tensor, random: Generator | Draws | None = None, cut: bool = False) -> Tensor:
        """``images`` augmented and normalised: uint8[B, C, H, W] -> float32[B, C, h, w].

        Args:
            random: a CPU generator, or the draws of these samples.
            cut: the crop was done when the images were read (:meth:`training_cut`).
        """
        draws = random if isinstance(random, Draws) else Draws(random, len(images))
        return self._erased(self._augmented(images, self._drawn(images, draws, cut)), draws)

    def training_cut(self, draws: Sequence[Draws], size: int) -> Cut:
        """What to read of training images that are stored in different sizes.

        Args:
            draws: of the samples, in one piece or in several.
            size: side of the images where the settings name none.
        """
        config = self.config
        if config.crop_scale is None:
            return self.plain_cut(size)
        uniform = torch.cat([draw_uniform(each) for each in draws], dim=1)
        return RandomCut(config.size or size, config.crop_scale, config.crop_ratio, uniform)

    def plain_cut(self, size: int) -> Cut:
        """What to read of images that are not augmented; ``size`` where the settings name none."""
        return CentreCut(self.config.size or size)

    def plain(self, images: Tensor) -> Tensor:
        """``images`` resized, where ``size`` asks for it, and normalised: uint8[B, C, H, W] -> float32[B, C, h, w]."""
        return self._normalised(self._resized(images))

    def look_cut(self, look: Look, size: int) -> Cut:
        """What to read of images that are evaluated; ``size`` where the settings name none."""
        return self.plain_cut(size) if look.crop is None else CornerCut(self.config.size or size, CROPS[look.crop])

    def look(self, images: Tensor, look: Look, cut: bool = False) -> Tensor:
        """One view of images that are evaluated, normalised: uint8[B, C, H, W] -> float32[B, C, h, w].

        Args:
            cut: the crop was done when the images were read (:meth:`look_cut`).
        """
        seen = self._resized(images) if look.crop is None or cut else self._corner(images, CROPS[look.crop])
        return self._normalised(seen.flip(3) if look.mirrored else seen)

    def _drawn(self, images: Tensor, draws: Draws, cut: bool) -> "_Drawn":
        """The parameters of every sample, in an order that is part of what a seed means."""
        config, drawn = self.config, _Drawn()
        if config.crop_scale is not None and not cut:
            sizes = torch.tensor(images.shape[2:]).expand(len(images), 2)
            drawn.boxes = random_boxes(sizes, config.crop_scale, config.crop_ratio, draw_uniform(draws))
        if config.shift or config.flip:
            drawn.offsets = draws.integers(-config.shift, config.shift + 1, 2, SAMPLES, 1).transpose(0, 1)
        if config.flip:
            drawn.mirrored = draws.uniform(SAMPLES, 1) < 0.5
        drawn.policy = draw_policy(config.policy, draws, config.rand_ops, config.rand_magnitude)
        if any(config.color_jitter):
            drawn.jitter = draw_jitter(draws)
        return drawn

    def _augmented(self, images: Tensor, drawn: "_Drawn") -> Tensor:
        size = self.config.size
        if drawn.boxes is None:
            images = self._resized(images)
        else:
            images = _crop(images, drawn.boxes, (size, size) if size else images.shape[2:])
        if drawn.offsets is not None and self.config.shift:
            images = _shift_and_flip(images, drawn.offsets, drawn.mirrored)
        elif drawn.mirrored is not None:
            images = _flip(images, drawn.mirrored[:, 0])
        if drawn.policy is not None:
            images = apply_policy(_as_bytes(images), drawn.policy)
        if drawn.jitter is not None:
            images = jitter_color(_unit_range(images), self.config.color_jitter, drawn.jitter)
        return self._normalised(images)

    def _erased(self, images: Tensor, draws: Draws) -> Tensor:
        size = (images.shape[2], images.shape[3])
        if self.config.erasing:
            images = erase(images, erasing_boxes(draws, self.config.erasing, size))
        return erase(images, cutout_boxes(draws, self.config.cutout, size)) if self.config.cutout else images

    def _resized(self, images: Tensor) -> Tensor:
        """Short side resized and centre cropped to ``size``; as stored, where no size is set or it has that size."""
        size, (height, width) = self.config.size, images.shape[2:]
        if size is None or size == height == width:
            return images
        # Sizes are rounded as in torchvision's Resize and CenterCrop.
        shortest = min(height, width)
        target = round(size * EVAL_MARGIN) if shortest > size else size
        if target != shortest:
            height, width = target * height // shortest, target * width // shortest
            images = F.interpolate(_unit_range(images), (height, width), mode="bilinear", antialias=True)
        top, left = round((height - size) / 2), round((width - size) / 2)
        return images[:, :, top : top + size, left : left + size]

    def _corner(self, images: Tensor, place: tuple[float, float]) -> Tensor:
        """One of five crops of ``size`` (of the stored size, where none is set) out of the image resized to 256/224 of that."""
        size, (height, width) = self.config.size, images.shape[2:]
        tall, wide = (size, size) if size else (height, width)
        short = min(height, width)
        target = round(min(tall, wide) * EVAL_MARGIN)
        resized = target * height // short, target * width // short
        if resized != (height, width):
            images = F.interpolate(_unit_range(images), resized, mode="bilinear", antialias=True)
        top, left = (round((side - seen) * at) for side, seen, at in zip(resized, (tall, wide), place, strict=True))
        return images[:, :, top : top + tall, left : left + wide]

    def _normalised(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        if self._mean.numel() not in (1, channels):
            raise ValueError(f"{self._mean.numel()} means for images of {channels} channels")
        mean, std = self._mean.to(images.device), self._std.to(images.device)
        return _unit_range(images).sub_(mean).div_(std)


@dataclass
class _Drawn:
    """Random parameters of B samples, along the first axis; None for what is not done.

    Attributes:
        boxes: float64[B, 4], crops.
        offsets: int64[B, 2, 1], pixels down and to the right.
        mirrored: bool[B, 1].
        policy: operations.
        jitter: float32[B, 2, 4], see :func:`ltbench.data.augmentation.color.draw_jitter`.
    """

    boxes: Tensor | None = None
    offsets: Tensor | None = None
    mirrored: Tensor | None = None
    policy: Chosen | None = None
    jitter: Tensor | None = None


def _unit_range(images: Tensor) -> Tensor:
    """uint8 as new float32 in 0..1, channel by channel in memory; float images were made here already."""
    if images.dtype != torch.uint8:
        return images
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def _as_bytes(images: Tensor) -> Tensor:
    return images if images.dtype == torch.uint8 else images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror the samples at which ``mirrored`` bool[B] says so."""
    chosen = mirrored.nonzero().flatten()
    if images.device.type != "cpu":
        chosen = chosen.to(images.device)
        return images.index_copy(0, chosen, images[chosen].flip(3))
    flipped = images.clone()
    for sample in chosen.tolist():  # seven times as fast as by an index, where pixels lie together
        flipped[sample] = images[sample].flip(2)
    return flipped


def _shift_and_flip(images: Tensor, offsets: Tensor, mirrored: Tensor | None) -> Tensor:
    """Translate by whole pixels with repeated edges, then mirror: one gather for the batch."""
    batch, channels, height, width = images.shape
    rows = (torch.arange(height) + offsets[:, 0]).clamp_(0, height - 1)
    columns = (torch.arange(width) + offsets[:, 1]).clamp_(0, width - 1)
    if mirrored is not None:
        columns = torch.where(mirrored, columns.flip(1), columns)
    source = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, -1).to(images.device, non_blocking=True)
    return images.flatten(2).gather(2, source.expand(-1, channels, -1)).view_as(images)


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
