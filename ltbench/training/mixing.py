"""Batch transforms: what is done to a whole batch of images and to its targets, as settings of a run or of one training.

mixup: Zhang et al., ICLR 2018. CutMix: Yun et al., ICCV 2019. Label smoothing: Szegedy et al., CVPR 2016.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.data.augmentation.augment_config import MixConfig

__all__ = ["MixConfig", "Mixed", "draw_mixed", "neighbours", "soft_targets"]


@dataclass(frozen=True)
class Mixed:
    """How a batch was mixed: the image at b is ``lam`` of its own and ``1 - lam`` of the one at ``partner[b]``.

    Partners are pairs drawn from the whole batch, and a pair is dealt to one process. The last sample of an odd batch is its
    own partner.

    Attributes:
        lam: lambda in [0, 1]; one for the whole batch, the same on all processes. With a box, the share outside of it.
        partner: int64[B], positions in this process's part of the batch.
        box: with CutMix, (top, left, height, width) in pixels of what the partner's image covers; else None.
    """

    lam: float
    partner: Tensor
    box: tuple[int, int, int, int] | None = None

    def images(self, images: Tensor) -> Tensor:
        """``images`` (or features) float[B, ...], mixed; new memory."""
        others = images[self.partner.to(images.device)]
        if self.box is None:
            return images * self.lam + others * (1 - self.lam)
        top, left, height, width = self.box
        rows, columns = slice(top, top + height), slice(left, left + width)
        mixed = images.clone()
        mixed[..., rows, columns] = others[..., rows, columns]
        return mixed


def draw_mixed(config: MixConfig, seed: int, samples: int, size: tuple[int, int] | None) -> Mixed | None:
    """What is done to a batch; None: it stays as it is.

    Args:
        seed: of this batch alone: every process draws the same.
        samples: B of this process. Partners are neighbours: the batch was dealt in pairs.
        size: (height, width) of the images; None: features, to which CutMix does not apply.
    """
    random = np.random.default_rng(seed)
    mixed, switched = random.random(2)
    if not config.mixes or mixed >= config.prob:
        return None
    cutting = bool(config.cutmix and size) and (not config.mixup or switched < config.switch_prob)
    alpha = config.cutmix if cutting else config.mixup
    if not alpha:
        return None
    lam, partner = float(random.beta(alpha, alpha)), neighbours(samples)
    if not cutting:
        return Mixed(lam, partner)
    assert size is not None
    box = _box(lam, size, random.random(2))
    return Mixed(1 - box[2] * box[3] / (size[0] * size[1]), partner, box)


def neighbours(samples: int) -> Tensor:
    """Partners int64[B] when samples 0 and 1 are a pair, 2 and 3, and so on; a last one alone is its own."""
    partner = torch.arange(samples) ^ 1
    return partner.clamp_(max=samples - 1) if samples else partner


def _box(lam: float, size: tuple[int, int], centre: np.ndarray) -> tuple[int, int, int, int]:
    """A box of (1 - lambda) of the area around a uniform centre, cut off at the edges."""
    edges = []
    for side, position in zip(size, centre, strict=True):
        middle, half = int(position * side), int(side * (1 - lam) ** 0.5) // 2
        edges.append((max(0, middle - half), min(side, middle + half)))
    (top, bottom), (left, right) = edges
    return top, left, bottom - top, right - left


def soft_targets(targets: Tensor, classes: int, smoothing: float = 0.0, mixed: Mixed | None = None) -> Tensor:
    """``targets`` int64[B] as distributions float32[B, K]: smoothed, then mixed as the images were.

    Args:
        classes: K, the number of logits.
        smoothing: probability that is spread over all of them in equal parts.
        mixed: what was done to the images; None: nothing.
    """
    soft = F.one_hot(targets, classes).float()
    soft = soft * (1 - smoothing) + smoothing / classes
    return soft if mixed is None else mixed.lam * soft + (1 - mixed.lam) * soft[mixed.partner.to(soft.device)]
