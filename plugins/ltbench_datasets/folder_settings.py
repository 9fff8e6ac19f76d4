"""Settings for images that nobody has written a recipe for, from their number, their size, and the number of classes.

What is published for ImageNet-LT (Liu et al. 2019; Kang et al. 2020) and CIFAR-LT (Cao et al. 2019) lies at two points of each
rule; between and beyond them the rules are ours, and no more than a start.
"""

from typing import Any

from ltbench.data.images.looks import Looks
from ltbench.data.suggestions import Asked, Suggestion
from ltbench.training.optim import OptimConfig

USUAL_SIZE = 224
"""Pixels: what photographs are read at."""

SMALL, TINY = 112, 40
"""Largest sides, in pixels, for which the network's stem keeps more of them: half the usual size, and CIFAR's with a margin."""

SHIFTED = 64
"""Up to this side images are shifted and not cropped: a random crop of so few pixels is a blur."""

CROP_SCALE = [0.08, 1.0]
"""torchvision's bounds, as for ImageNet-LT."""

BATCHES_AN_EPOCH, SMALLEST_BATCH = 64, 32
"""10,847 images of CIFAR-100-LT: 128, as Cao et al.; 115,846 of ImageNet-LT: 512 and more, as Kang et al."""

IMAGES_SHOWN, LONGER = 1_000_000, 2.0
"""An epoch of few images is short: up to twice the epochs, until so many images were shown. CIFAR-LT has 200, ImageNet-LT 100."""

_RATE = ("batch_size", "lr", "optimizer")
_LENGTH = ("epochs", "step_epochs", "milestones", "patience")
"""What belongs together: where a user or a recipe says one of them, none is suggested."""


def suggest(images: int, classes: int, looks: Looks, asked: Asked) -> list[Suggestion]:
    """What suits so many training images of so many classes that look like this, where nothing else is asked for."""
    size = asked.said("augment", "size")
    size = size if isinstance(size, int) else min(looks.side, USUAL_SIZE)
    return [
        *_augmentation(size, looks, asked),
        *_network(size),
        *_trainings(images, classes, asked),
    ]


def _augmentation(size: int, looks: Looks, asked: Asked) -> list[Suggestion]:
    cropped = {"crop_scale": CROP_SCALE} if size > SHIFTED else {"shift": size // 8}
    framing = {} if asked.says("augment", "crop_scale") or asked.says("augment", "shift") else cropped
    grey = ("grey", "may be letters, which have no mirror images") if looks.grey else ("coloured", "may be mirrored")
    settings: dict[str, Any] = {"size": size, **framing, "flip": not looks.grey}
    return [
        Suggestion(
            {"augment": settings}, f"the images are {looks.side} pixels at the short side, {grey[0]}, and {grey[1]}"
        )
    ]


def _network(size: int) -> list[Suggestion]:
    """A stem of ResNet-10 that leaves enough pixels of small images to the stages."""
    if size > SMALL:
        return []
    stem: dict[str, Any] = {"stem_kernel": 3, "max_pool": False, "stem_stride": 2}
    if size <= TINY:
        stem |= {"stem_stride": 1, "widths": [32, 64, 128, 256]}
    half = "; half the channels keep the cost down" if size <= TINY else ""
    why = f"the usual stem would leave {-(-size // 4)} of {size} pixels{half}"
    return [Suggestion({"backbone": {"name": "resnet10", "kwargs": stem}}, why)]


def _trainings(images: int, classes: int, asked: Asked) -> list[Suggestion]:
    settings: dict[str, dict[str, Any]] = {}
    for (method, key), optim in asked.optims.items():
        changed = {**_rate(optim, images, classes), **_length(optim, images)}
        for together in (_RATE, _LENGTH):
            if any(asked.says(method, key, name) for name in together):
                changed = {name: value for name, value in changed.items() if name not in together}
        if changed:
            settings.setdefault(method, {})[key] = changed
    why = f"there are {images:,} training images of {classes:,} classes"
    return [Suggestion(settings, why)] if settings else []


def _rate(optim: OptimConfig, images: int, classes: int) -> dict[str, Any]:
    """A batch for :data:`BATCHES_AN_EPOCH`, with an image of each class where that is more; no larger than the default.

    The learning rate goes with the square root of the batch: 0.2 for 512 on ImageNet-LT, 0.1 for 128 on CIFAR-LT.
    """
    wanted = max(images // BATCHES_AN_EPOCH, classes, SMALLEST_BATCH)
    batch = min(2 ** (wanted.bit_length() - 1), optim.batch_size)
    if batch == optim.batch_size:
        return {}
    return {"batch_size": batch, "lr": float(f"{optim.lr * (batch / optim.batch_size) ** 0.5:.2g}")}


def _length(optim: OptimConfig, images: int) -> dict[str, Any]:
    longer = min(LONGER, IMAGES_SHOWN / (images * max(1, optim.epochs)))
    if longer <= 1 or not optim.epochs:
        return {}
    drops = {"step_epochs": optim.step_epochs} if optim.schedule == "step" and not optim.milestones else {}
    patience = {"patience": optim.patience} if optim.patience else {}
    lengths = {"epochs": optim.epochs, **drops, **patience}
    return {name: round(value * longer) for name, value in lengths.items()}
