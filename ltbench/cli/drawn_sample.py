"""The images that a dataset of ``ltbench plugin new`` starts with: three shapes under noise, 8 x 8 grey pixels, as CSV."""

import random

SIZE = 8

SHAPES = {
    "bar": ("........", "...##...", "...##...", "...##...", "...##...", "...##...", "...##...", "........"),
    "cross": ("........", ".#....#.", "..#..#..", "...##...", "...##...", "..#..#..", ".#....#.", "........"),
    "ring": ("........", "..####..", ".#....#.", ".#....#.", ".#....#.", ".#....#.", "..####..", "........"),
}

COUNTS = {"train": (80, 25, 6), "val": (5, 5, 5), "test": (10, 10, 10)}
"""Images of each shape."""


def drawn_sample() -> dict[str, str]:
    """Name of a file -> its text: the header ``label,pixels``, then a line an image. The same at every call."""
    source = random.Random(0)
    texts = {}
    for split, counts in COUNTS.items():
        lines = [
            f"{label},{_drawn(shape, source)}"
            for (label, shape), count in zip(SHAPES.items(), counts, strict=True)
            for _ in range(count)
        ]
        texts[f"{split}.csv"] = "\n".join(["label,pixels", *lines]) + "\n"
    return texts


def _drawn(shape: tuple[str, ...], source: random.Random) -> str:
    """A shape moved by up to a pixel, under noise: two hexadecimal digits a pixel."""
    down, right = source.randint(-1, 1), source.randint(-1, 1)
    inked = [
        shape[(row - down) % SIZE][(column - right) % SIZE] == "#" for row in range(SIZE) for column in range(SIZE)
    ]
    return bytes(source.randint(90, 255) if ink else source.randint(0, 120) for ink in inked).hex()
