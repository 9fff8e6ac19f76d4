"""The images of a split, named and located, before any of them is read. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageList:
    """Images of one split in their order.

    Attributes:
        names: N paths that name the images wherever and however the tree is laid out; they enter the fingerprint.
        files: N paths at which they lie on this machine.
        labels: int64[N].
    """

    names: Sequence[str]
    files: Sequence[str]
    labels: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.files) == len(self.labels):
            raise ValueError(f"{len(self.names)} names, {len(self.files)} files, {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.names)

    def only(self, positions: np.ndarray) -> "ImageList":
        """The images at ``positions`` (int64[M]), in that order."""
        return ImageList(
            [self.names[position] for position in positions],
            [self.files[position] for position in positions],
            self.labels[positions],
        )
