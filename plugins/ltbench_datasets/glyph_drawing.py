"""Draws letters in many faces, distorted at random: whole batches at once, the same bytes for the same seed.

Each letter is rasterised once for each face; an image then samples that mask through its own affine map. Lengths are in
pixels of a 28 x 28 image and grow with the image size.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

TYPEFACES: dict[str, tuple[str, ...]] = {
    "Sans": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    "Mono": ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    "Serif": ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    "STIX": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
}
"""Typefaces that matplotlib ships, each with its faces: regular, bold, italic, bold italic."""

FACES = tuple(face for faces in TYPEFACES.values() for face in faces)

_UNIT_SIZE = 28
"""Side of the image in whose pixels the lengths below are."""
_FONT_SIZE = 19.0
_BASELINE = 6.3
"""How far the baseline lies below the centre."""
_MASK_SIDE = 32
"""Side of the square that holds an undistorted letter."""
_OVERSAMPLING = 2
"""Mask pixels for one image pixel, along each axis."""

# Largest distortions at difficulty 1, uniform up to there (PROTOCOL 9.1).
_ROTATION = 0.3
_MEAN_SCALE, _SCALE = 0.9, 0.2
_LOG_ASPECT = 0.15
_SHEAR = 0.25
_SHIFT = 3.5
_LEAST_BLUR, _BLUR = 0.3, 0.6
_CONTRAST_LOSS = 0.7
_GRADIENT = 0.3
_NOISE = 0.12
_INTRUDERS = 2
_INTRUDER_DISTANCE = (11.5, 16.0)
"""From the centre of the image to the centre of another glyph, along the nearer axis; the border is at 14."""

_CHUNK_PIXELS = 2048 * 28 * 28


def font_path(face: str) -> Path:
    """The TrueType file of a face, in the data folder of the installed matplotlib."""
    import matplotlib as mpl  # 0.3 s, and not needed where the images are cached

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"


class GlyphRenderer:
    """Draws distorted pictures of ``letters``.

    Args:
        letters: each a string of one character.
        size: side of the images in pixels.
        difficulty: 0 draws upright letters in full contrast without noise; 1 has the full range of every distortion.
    """

    def __init__(self, letters: Sequence[str], size: int, difficulty: float) -> None:
        self.size = size
        self.difficulty = difficulty
        self._unit = size / _UNIT_SIZE
        self._masks = self._rasterised(letters)

    def draw(self, letters: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> Tensor:
        """A picture of each letter (int64[N], positions in ``letters``) in a face (int64[N], positions in FACES).

        Returns:
            uint8[N, 1, size, size]
        """
        step = max(1, _CHUNK_PIXELS // self.size**2)
        starts = range(0, len(letters), step)
        return torch.cat([self._draw(letters[at : at + step], faces[at : at + step], rng) for at in starts])

    def _rasterised(self, letters: Sequence[str]) -> Tensor:
        """Each letter in each face, all baselines at one height: uint8[L, len(FACES), S, S]."""
        unit = self._unit * _OVERSAMPLING
        side = round(_MASK_SIDE * unit)
        origin = (side / 2, side / 2 + _BASELINE * unit)
        masks = np.empty((len(letters), len(FACES), side, side), dtype=np.uint8)
        for position, face in enumerate(FACES):
            font = ImageFont.truetype(str(font_path(face)), _FONT_SIZE * unit)
            for number, letter in enumerate(letters):
                canvas = Image.new("L", (side, side))
                ImageDraw.Draw(canvas).text(origin, letter, fill=255, font=font, anchor="ms")
                masks[number, position] = np.asarray(canvas)
        return torch.from_numpy(masks)

    def _draw(self, letters: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> Tensor:
        count = len(letters)
        ink = self._placed(letters, faces, self._within(_SHIFT, (count, 2), rng), rng)
        for _ in range(_INTRUDERS):
            intruders = rng.integers(len(self._masks), size=count)
            piece = self._placed(intruders, rng.integers(len(FACES), size=count), _at_border(count, rng), rng)
            ink = torch.maximum(ink, piece * min(1.0, self.difficulty))
        ink = self._blurred(ink, _LEAST_BLUR + self._up_to(_BLUR, count, rng))
        contrast = 1 - self._up_to(_CONTRAST_LOSS, count, rng)
        image = ink * _per_image(contrast * rng.choice([-1.0, 1.0], count))
        # The level of the background needs no drawing: the stretch at the end would take it out again.
        slope = self._within(_GRADIENT, (count, 2), rng)
        ramp = torch.linspace(-0.5, 0.5, self.size)
        image += _per_image(slope[:, 0]) * ramp.view(-1, 1) + _per_image(slope[:, 1]) * ramp
        noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
        image += noise * _per_image(self._up_to(_NOISE, count, rng))
        low, high = image.amin(dim=(1, 2, 3), keepdim=True), image.amax(dim=(1, 2, 3), keepdim=True)
        return ((image - low) * (255 / (high - low))).round_().to(torch.uint8)

    def _placed(self, letters: np.ndarray, faces: np.ndarray, centres: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Ink of letters distorted at random, their centres at ``centres`` (x, y from the image's).

        Returns:
            float32[N, 1, size, size] in 0..1.
        """
        count = len(letters)
        angle = self._within(_ROTATION, count, rng)
        scale = _MEAN_SCALE + self._within(_SCALE, count, rng)
        root_aspect = np.exp(self._within(_LOG_ASPECT, count, rng) / 2)
        shear = self._within(_SHEAR, count, rng)
        cos, sin, none = np.cos(angle), np.sin(angle), np.zeros(count)
        rotation = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2)
        stretch = np.stack([scale * root_aspect, scale * shear, none, scale / root_aspect], axis=1).reshape(-1, 2, 2)
        # affine_grid wants the map from image to mask, both in -1..1.
        to_mask = np.linalg.inv(rotation @ stretch)
        offset = to_mask @ centres[:, :, None] * (-2 / _MASK_SIDE)
        theta = np.concatenate([to_mask * (_UNIT_SIZE / _MASK_SIDE), offset], axis=2).astype(np.float32)
        masks = self._masks[torch.from_numpy(letters), torch.from_numpy(faces)].unsqueeze(1).float().div_(255)
        grid = F.affine_grid(torch.from_numpy(theta), [count, 1, self.size, self.size], align_corners=False)
        return F.grid_sample(masks, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _blurred(self, images: Tensor, sigma: np.ndarray) -> Tensor:
        """Gaussian blur with each image's own ``sigma``, edges repeated: float32[N, 1, size, size]."""
        radius = int(np.ceil(3 * (_LEAST_BLUR + _BLUR * self.difficulty) * self._unit))
        reach = np.arange(-radius, radius + 1)
        kernel = np.exp(-0.5 * (reach / (sigma[:, None] * self._unit)) ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        for axis, padding in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
            padded = F.pad(images, padding, mode="replicate")
            images = torch.zeros_like(images)
            for tap in range(len(reach)):
                images += padded.narrow(axis, tap, self.size) * _per_image(kernel[:, tap])
        return images

    def _up_to(self, bound: float, count: int, rng: np.random.Generator) -> np.ndarray:
        """Uniform between 0 and ``bound`` times the difficulty."""
        return rng.uniform(0, bound, count) * self.difficulty

    def _within(self, bound: float, shape: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Uniform between plus and minus ``bound`` times the difficulty."""
        return rng.uniform(-bound, bound, shape) * self.difficulty


def _at_border(count: int, rng: np.random.Generator) -> np.ndarray:
    """Centres near the border of the image, in all directions: float64[N, 2]."""
    angle = rng.uniform(0, 2 * np.pi, count)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    direction /= np.abs(direction).max(axis=1, keepdims=True)  # onto a square
    return direction * rng.uniform(*_INTRUDER_DISTANCE, (count, 1))


def _per_image(values: np.ndarray) -> Tensor:
    """float32[N, 1, 1, 1]"""
    return torch.from_numpy(values.astype(np.float32)).view(-1, 1, 1, 1)
