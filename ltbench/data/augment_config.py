"""The settings of augmentation. No torch: records are checked against them."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_SIZE = 4096
"""Largest side of what a network sees: a batch of larger images fits no memory."""


class AugmentConfig(BaseModel):
    """What happens to a training image, in this order: crop, shift, flip, colour jitter."""

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
