"""Drawn photographs for the benchmarks: 500 x 375 JPEGs of about the size that ImageNet's have."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375


def photo(rng: np.random.Generator, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Structure at every scale, as photographs have, and sensor noise."""
    total = np.zeros((height, width, 3), np.float32)
    for cell in (2, 4, 8, 16, 32, 64, 128):
        coarse = rng.normal(0, 1, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        for channel in range(3):
            grown = Image.fromarray(coarse[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += np.asarray(grown) * cell**0.8
    low, high = total.min(), total.max()
    noisy = (total - low) / (high - low) * 255 + rng.normal(0, 4, total.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def draw_photos(folder: Path, count: int, quality: int = 95) -> list[Path]:
    """``count`` JPEGs in ``folder``."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(count):
        content = BytesIO()
        photo(rng).save(content, "JPEG", quality=quality)
        files.append(folder / f"{number}.jpg")
        files[-1].write_bytes(content.getvalue())
    return files
