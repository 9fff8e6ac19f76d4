"""Balanced datasets made long-tailed by the rule of Cao et al. (NeurIPS 2019), a validation split carved from what is left."""

import hashlib
import json
from abc import abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, Field

from ltbench.data.base import Dataset, TensorSplit
from ltbench.data.carving import carve, imbalanced
from ltbench.data.tensor_cache import Kept

__all__ = ["VAL_PER_CLASS", "LongTailed", "LongTailedOptions"]

VAL_PER_CLASS = (
    "Validation images of each class, at most half of what it has, carved from the long-tailed training images: those that "
    "the imbalance leaves out would be extra labelled data for the rare classes."
)
"""Description of the option ``val_per_class``, for datasets that carve their validation split in the same way."""


class LongTailedOptions(Dataset.Options):
    """Which images are drawn."""

    imbalance: float = Field(
        default=100.0, ge=1, description="Images of the most frequent class (class 0) over those of the rarest."
    )
    val_per_class: int = Field(default=20, ge=1, description=VAL_PER_CLASS)
    seed: int = Field(default=0, ge=0, description="Decides which images are drawn; not the seed of a run.")


class LongTailed(Dataset):
    """A long-tailed sample of a balanced dataset that fits into memory; the test split is that dataset's own.

    Training and validation images together are as many as in the literature, which has no validation split and reports
    the best or last epoch on the test images; here training goes without those held out.

    Subclasses give :meth:`balanced` and :meth:`default_root`.
    """

    Options: type[LongTailedOptions] = LongTailedOptions
    options: LongTailedOptions

    def __init__(self, options: BaseModel | None = None, root: Path | None = None) -> None:
        super().__init__(options, root if root is not None else self.default_root())

    @staticmethod
    @abstractmethod
    def default_root() -> Path:
        """Where the files are looked for when no data root is given."""

    @abstractmethod
    def balanced(self) -> Kept:
        """The balanced dataset: ``train.images`` uint8[N, C, H, W], ``train.labels`` int64[N], ``test.images``,
        ``test.labels``; and, as JSON under ``classes``, the class names.

        Raises:
            DataError: files are missing or damaged.
        """

    @property
    def class_names(self) -> list[str]:
        return self._content[0]

    def split(self, name: str) -> TensorSplit:
        return self._content[1][name]

    @property
    def fingerprint(self) -> str:
        return self._content[2]

    @cached_property
    def _content(self) -> tuple[list[str], dict[str, TensorSplit], str]:
        """Class names, splits, and sha256 over the names and each split's positions in the source, labels and images."""
        options, (tensors, texts) = self.options, self.balanced()
        labels = tensors["train.labels"].numpy()
        drawn = imbalanced(labels, options.imbalance, options.seed)
        kept, held_out = carve(labels[drawn], options.val_per_class, options.seed)
        used = {
            "train": ("train", drawn[kept]),
            "val": ("train", drawn[held_out]),
            "test": ("test", np.arange(len(tensors["test.labels"]))),
        }
        splits = {}
        total = hashlib.sha256(texts["classes"].encode())
        for name, (source, positions) in used.items():
            chosen = torch.from_numpy(positions)
            splits[name] = TensorSplit(tensors[f"{source}.images"][chosen], tensors[f"{source}.labels"][chosen])
            for tensor in (chosen, splits[name].labels, splits[name].images):
                total.update(tensor.numpy().data)
        return json.loads(texts["classes"]), splits, total.hexdigest()
