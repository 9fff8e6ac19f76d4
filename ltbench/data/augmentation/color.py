"""Colour jitter of whole batches, as torchvision's ColorJitter; each sample has its own strengths and order."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from ltbench.data.augmentation.draws import SAMPLES, Draws

_HUE = 3
"""Number of the one operation whose amount is no factor."""

_LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey level (ITU-R 601-2)."""


def draw_jitter(draws: Draws) -> Tensor:
    """float32[B, 2, 4]: how far each of brightness, contrast, saturation and hue is changed (-1 to 1), and their places."""
    change = draws.uniform(4, SAMPLES) * 2 - 1
    order = draws.uniform(4, SAMPLES).argsort(dim=0)
    return torch.stack([change.T, order.argsort(dim=0).T.float()], dim=1)


def jitter_color(images: Tensor, strength: tuple[float, float, float, float], drawn: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue changed at random, in a random order for each sample.

    Args:
        images: float32[B, C, H, W] in 0..1, C of 1 or 3. Saturation and hue leave greyscale images alone.
        strength: of the four. Factors are uniform in [max(0, 1 - s), 1 + s]; the hue turns by up to s of the circle.
        drawn: float32[B, 2, 4] from :func:`draw_jitter`.

    Returns:
        float32[B, C, H, W] in 0..1.
    """
    wanted = [number for number in range(4 if images.shape[1] == 3 else 2) if strength[number]]
    change, place = drawn[:, 0] * torch.tensor(strength), drawn[:, 1]
    factor = (1 + change).clamp_(min=0)
    # Samples with one order are changed together, operation by operation.
    together: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for sample, order in enumerate(place[:, wanted].argsort(dim=1).tolist()):
        together[tuple(wanted[position] for position in order)].append(sample)
    result = torch.empty_like(images)
    for order, samples in together.items():
        chosen = torch.tensor(samples, device=images.device)
        group = images.index_select(0, chosen)
        for operation in order:
            amount = (change if operation == _HUE else factor)[samples, operation]
            group = _OPERATIONS[operation](group, amount.view(-1, 1, 1, 1).to(images.device))
        result.index_copy_(0, chosen, group)
    return result


def _grey(images: Tensor) -> Tensor:
    """float32[B, 1, H, W]"""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scaled by ``factor`` (float32[B, 1, 1, 1]), in place."""
    return images.mul_(factor).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Mixed with its mean grey level, in place."""
    mean = _grey(images.mean(dim=(2, 3), keepdim=True))
    return images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Mixed with its greyscale version, in place."""
    grey = _grey(images).mul_(1 - factor)
    return images.mul_(factor).add_(grey).clamp_(0, 1)


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
