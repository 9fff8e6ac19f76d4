"""The settings of augmentation and of mixing. No torch: records are checked against them.

mixup: Zhang et al., ICLR 2018. CutMix: Yun et al., ICCV 2019. Label smoothing: Szegedy et al., CVPR 2016.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["AugmentConfig", "MixConfig", "Policy"]

Policy = Literal["none", "rand", "trivial", "auto-imagenet", "auto-cifar10", "auto-svhn"]
"""None, RandAugment, TrivialAugment (wide), or AutoAugment as learned on a dataset."""

MAX_SIZE = 4096
"""Largest side of what a network sees: a batch of larger images fits no memory."""


class AugmentConfig(BaseModel):
    """What happens to a training image, in this order: crop, shift, flip, policy, colour jitter, erasing, Cutout."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    shift: int = Field(
        default=0,
        ge=0,
        le=MAX_SIZE,
        description="Random translation of up to so many pixels along each axis; edges are repeated.",
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
    policy: Policy = Field(
        default="none", description="RandAugment, TrivialAugment (wide) or one of AutoAugment's learned policies."
    )
    rand_ops: int = Field(default=2, ge=1, description="policy = rand: operations on an image.")
    rand_magnitude: int = Field(default=9, ge=0, le=30, description="policy = rand: how strong they are, of 30.")
    erasing: float = Field(
        default=0.0, ge=0, le=1, description="Random erasing: probability that a rectangle is set to the mean."
    )
    cutout: int = Field(default=0, ge=0, description="Cutout: side of the square, in pixels, that is set to the mean.")
    size: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SIZE,
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


class MixConfig(BaseModel):
    """How the images of a training batch are mixed, and how much probability a target keeps. Off by default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mixup: float = Field(default=0.0, ge=0, description="mixup: lambda is drawn from Beta(alpha, alpha); 0: off")
    cutmix: float = Field(default=0.0, ge=0, description="CutMix: lambda is drawn from Beta(alpha, alpha); 0: off")
    prob: float = Field(default=1.0, ge=0, le=1, description="share of the batches that are mixed")
    switch_prob: float = Field(
        default=0.5, ge=0, le=1, description="with both: share of the mixed ones that CutMix gets"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="probability that a target gives to all classes in equal parts"
    )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed."""
        return bool((self.mixup or self.cutmix) and self.prob)


def in_words(augment: AugmentConfig, mixing: MixConfig) -> str:
    """What is not at its default, by name; ``none`` where all is."""
    changed = [part.model_dump(mode="json", exclude_defaults=True) for part in (augment, mixing)]
    settings = sorted((changed[0] | changed[1]).items())
    return ", ".join(f"{key}={value}" for key, value in settings).replace("'", "") or "none"
