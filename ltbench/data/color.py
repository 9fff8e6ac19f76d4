"""Colour jitter of whole batches, as torchvision's ColorJitter; each sample has its own strengths and order."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

_LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey level (ITU-R 601-2)."""


def jitter_color(images: Tensor, strength: tuple[float, float, float, float], generator: Generator | None) -> Tensor:
    """Brightness, contrast, saturation and hue changed at random, in a random order for each sample.

    Args:
        images: float32[B, C, H, W] in 0..1, C of 1 or 3. Saturation and hue leave greyscale images alone.
        strength: of the four. Factors are uniform in [max(0, 1 - s), 1 + s]; the hue turns by up to s of the circle.
        generator: a CPU generator.

    Returns:
        float32[B, C, H, W] in 0..1.
    """
    batch, channels = images.shape[:2]
    uniform = torch.rand(4, batch, generator=generator) * 2 - 1
    order = torch.rand(4, batch, generator=generator).argsort(dim=0)
    images = images.clone()
    for step in order:
        for operation in range(4 if channels == 3 else 2):
            chosen = torch.nonzero(step == operation).flatten()
            if strength[operation] and len(chosen):
                change = uniform[operation, chosen] * strength[operation]
                amount = change if operation == 3 else (1 + change).clamp_(min=0)
                chosen = chosen.to(images.device)
                amount = amount.view(-1, 1, 1, 1).to(images.device)
                images[chosen] = _OPERATIONS[operation](images[chosen], amount)
    return images


def _grey(images: Tensor) -> Tensor:
    """float32[B, 1, H, W]"""
    if images.shape[1] == 1:
        return images
    return (images * torch.tensor(_LUMA, device=images.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scaled by ``factor`` (float32[B, 1, 1, 1])."""
    return (images * factor).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Mixed with its mean grey level."""
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, factor).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Mixed with its greyscale version."""
    return torch.lerp(_grey(images), images, factor).clamp_(0, 1)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turned on the hue circle (``turn`` in circles), through HSV."""
    value, brightest = images.max(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    differences = torch.cat([green - blue, blue - red, red - green], dim=1)
    sextant = differences.gather(1, brightest) / chroma.clamp(min=1e-12) + 2 * brightest + 6 * turn
    # Channel n of a colour of hue h (in sextants): v - c * clamp(min(k, 4 - k), 0, 1), k = (n + h) mod 6, n = 5, 3, 1.
    position = (torch.tensor([5.0, 3.0, 1.0], device=images.device).view(1, 3, 1, 1) + sextant) % 6
    return value - chroma * torch.minimum(position, 4 - position).clamp_(0, 1)


_OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    adjust_hue,
)
