"""glyphs-lt, the embedded dataset: confusable letters, drawn from the fonts that matplotlib ships; no download."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from ltbench.common.canonical import digest
from ltbench.data.base import SPLITS, Dataset, TensorSplit
from ltbench.data.tensor_cache import Kept, cached
from ltbench_datasets import glyph_drawing, glyph_letters
from ltbench_datasets.glyph_drawing import FACES, TYPEFACES, GlyphRenderer
from ltbench_datasets.glyph_letters import LETTERS

_DRAWN_BY = tuple(Path(file) for file in (glyph_drawing.__file__, glyph_letters.__file__, __file__))
"""What decides what is drawn: another version of it does not find this one's images in the cache."""


MAX_SIZE, MAX_PIXELS = 1024, 4_000_000_000
"""Bounds on the side of an image, and on the pixels of all: they are kept in memory, a byte each."""


class GlyphsOptions(Dataset.Options):
    """What is drawn. The defaults are the benchmark; other values serve tests and other class-count profiles."""

    num_classes: int = Field(
        default=100,
        ge=2,
        le=len(LETTERS) * len(TYPEFACES),
        description=f"Up to {len(LETTERS)} a class is a letter, then a letter in one of {len(TYPEFACES)} typefaces.",
    )
    max_count: int = Field(default=500, ge=1, description="Training images of the most frequent class.")
    min_count: int = Field(default=5, ge=1, description="Training images of the rarest class.")
    train_counts: tuple[int, ...] | None = Field(
        default=None, description="Training images of each class, in place of num_classes, max_count and min_count."
    )
    val_per_class: int = Field(default=20, ge=1, description="Validation images of each class.")
    test_per_class: int = Field(default=50, ge=1, description="Test images of each class.")
    size: int = Field(default=28, ge=8, le=MAX_SIZE, description="Side of the images in pixels.")
    channels: Literal[1, 3] = Field(default=1, description="1: greyscale; 3: the same grey in three channels.")
    seed: int = Field(
        default=0, ge=0, description="Decides the images and which letter has which rank; not the seed of a run."
    )
    difficulty: float = Field(default=1.0, ge=0, le=1.25, description="Scales the range of every distortion; 0: none.")

    @model_validator(mode="before")
    @classmethod
    def _count_classes(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("train_counts"), list | tuple):
            return values
        return {"num_classes": len(values["train_counts"]), **values}

    @model_validator(mode="after")
    def _check(self) -> "GlyphsOptions":
        if self.train_counts is None:
            if self.min_count > self.max_count:
                raise ValueError(f"min_count {self.min_count} is above max_count {self.max_count}")
        elif len(self.train_counts) != self.num_classes:
            raise ValueError(f"num_classes {self.num_classes}, but train_counts has {len(self.train_counts)} entries")
        elif min(self.train_counts) < 1:
            raise ValueError("train_counts: every class needs at least 1 image")
        most = self.max_count * self.num_classes if self.train_counts is None else sum(self.train_counts)
        images = most + (self.val_per_class + self.test_per_class) * self.num_classes
        if images * self.size**2 > MAX_PIXELS:
            raise ValueError(
                f"up to {images:,} images of {self.size} x {self.size} pixels do not fit: at most 4e9 pixels"
            )
        return self

    def counts(self) -> np.ndarray:
        """Training images of each class, int64[C]: as given, or falling exponentially (Cao et al. 2019), rounded."""
        if self.train_counts is not None:
            return np.array(self.train_counts, dtype=np.int64)
        rank = np.arange(self.num_classes) / (self.num_classes - 1)
        return np.round(self.max_count * (self.min_count / self.max_count) ** rank).astype(np.int64)


class GlyphsLT(Dataset):
    """Letters of many faces, distorted and noisy; a class id is a frequency rank, unless ``train_counts`` says else.

    Images are drawn when first needed and kept in the cache folder. They are the same for the same options on one
    machine; another build of FreeType may rasterise a letter differently, which the fingerprint shows.
    """

    Options = GlyphsOptions
    options: GlyphsOptions

    name = "glyphs-lt"
    mean = (0.5,)
    std = (0.257,)

    def __init__(self, options: BaseModel | None = None, root: Path | None = None) -> None:
        super().__init__(options, root)
        self.image_shape = (self.options.channels, self.options.size, self.options.size)
        self._num_letters = self.options.num_classes
        self._typefaces: list[str] = []
        if self._num_letters > len(LETTERS):
            self._typefaces = list(TYPEFACES)
            self._num_letters = -(-self.options.num_classes // len(TYPEFACES))

    @cached_property
    def class_names(self) -> list[str]:
        """Letters (``ä``); letters and typefaces (``ä Serif``) where there are more classes than letters."""
        letters, typefaces = self._looks
        if not self._typefaces:
            return [LETTERS[letter] for letter in letters]
        return [f"{LETTERS[letter]} {self._typefaces[face]}" for letter, face in zip(letters, typefaces, strict=True)]

    @property
    def fingerprint(self) -> str:
        return self._content[1]

    def split(self, name: str) -> TensorSplit:
        tensors = self._content[0]
        images = tensors[f"{name}.images"].expand(-1, self.options.channels, -1, -1)
        return TensorSplit(images, tensors[f"{name}.labels"])

    @cached_property
    def _looks(self) -> tuple[np.ndarray, np.ndarray]:
        """Letter and typeface of each class, int64[C] each: permuted by the seed, so that families span the folds."""
        order = np.random.default_rng([self.options.seed, 0]).permutation(self.options.num_classes)
        return order % self._num_letters, order // self._num_letters

    @cached_property
    def _content(self) -> tuple[dict[str, Tensor], str]:
        """The tensors of all splits and the fingerprint, from the cache or drawn into it by one process alone."""
        drawn_by = [hashlib.sha256(file.read_bytes()).hexdigest() for file in _DRAWN_BY]
        key = digest({"options": self.options.model_dump(), "drawn_by": drawn_by})
        tensors, texts = cached(f"{self.name}-{key[:20]}", self._drawn)
        return tensors, texts["fingerprint"]

    def _drawn(self) -> Kept:
        """``train.images`` uint8[N, 1, size, size], ``train.labels`` int64[N], val and test likewise; the fingerprint."""
        options, (letters, typefaces) = self.options, self._looks
        renderer = GlyphRenderer(LETTERS[: self._num_letters], options.size, options.difficulty)
        faces_each = len(FACES) // len(self._typefaces or [""])
        counts: tuple[Any, ...] = (options.counts(), options.val_per_class, options.test_per_class)
        tensors = {}
        for stream, (split, each) in enumerate(zip(SPLITS, counts, strict=True), start=1):
            rng = np.random.default_rng([options.seed, stream])
            labels = np.repeat(np.arange(options.num_classes), each)
            faces = typefaces[labels] * faces_each + rng.integers(faces_each, size=len(labels))
            tensors[f"{split}.images"] = renderer.draw(letters[labels], faces, rng)
            tensors[f"{split}.labels"] = torch.from_numpy(labels)
        return tensors, {"fingerprint": self._fingerprint_of(tensors)}

    def _fingerprint_of(self, tensors: Mapping[str, Tensor]) -> str:
        """sha256 over class names, image shape, and the bytes of images and labels."""
        total = hashlib.sha256(json.dumps([self.class_names, self.image_shape]).encode())
        for key in sorted(tensors):
            total.update(key.encode())
            total.update(tensors[key].numpy().data)
        return total.hexdigest()
