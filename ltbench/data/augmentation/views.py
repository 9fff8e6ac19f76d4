"""What of an image is looked at when it is evaluated. No torch: records are checked against the names.

The views of an image are averaged over a member's logits, as the field does it: the example beside torchvision's ``FiveCrop``
and the code of LIFT (Shi et al., ICML 2024), whose rows have five crops, take the mean of a network's outputs.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CROPS", "LOOKS", "PLAIN", "Look", "TestViews"]

TestViews = Literal["centre", "flip", "five_crops", "five_crops_flip"]
"""``flip``: the plain view and its mirror image; ``five_crops``: the four corners and the centre; ``five_crops_flip``: these
and their mirror images."""

CROPS = {
    "top-left": (0.0, 0.0),
    "top-right": (0.0, 1.0),
    "bottom-left": (1.0, 0.0),
    "bottom-right": (1.0, 1.0),
    "middle": (0.5, 0.5),
}
"""Where a crop lies in the resized image, down and to the right: from 0, at one edge, to 1, at the other."""


@dataclass(frozen=True)
class Look:
    """One view of an image.

    Attributes:
        crop: one of :data:`CROPS`; None: the plain view.
        mirrored: left is right.
    """

    crop: str | None = None
    mirrored: bool = False

    def __str__(self) -> str:
        return (self.crop or "plain") + ("-mirrored" if self.mirrored else "")


PLAIN = Look()
"""An image as it is, resized where the settings ask for it."""

_CROPS = tuple(map(Look, CROPS))

LOOKS: dict[TestViews, tuple[Look, ...]] = {
    "centre": (PLAIN,),
    "flip": (PLAIN, Look(mirrored=True)),
    "five_crops": _CROPS,
    "five_crops_flip": (*_CROPS, *(Look(look.crop, mirrored=True) for look in _CROPS)),
}
"""What each setting looks at; the order makes no difference."""
