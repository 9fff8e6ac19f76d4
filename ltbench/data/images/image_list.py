"""The images of a split, named and located, before any of them is read. No torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ltbench.errors import DataError

__all__ = ["ImageList", "missing_files"]


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


def missing_files(files: Sequence[str]) -> np.ndarray:
    """Positions of the files that are not there: int64[M], ascending.

    Every folder is listed once: asking for each file by itself takes minutes on network storage.

    Raises:
        DataError: a folder cannot be read.
    """
    by_folder: dict[str, list[tuple[str, int]]] = {}
    for position, file in enumerate(files):
        folder, _, name = file.rpartition(os.sep)
        by_folder.setdefault(folder, []).append((name, position))
    missing = []
    for folder, wanted in by_folder.items():
        present = _names_in(folder)
        missing += [position for name, position in wanted if name not in present]
    return np.sort(np.asarray(missing, dtype=np.int64))


def _names_in(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder or os.sep))  # noqa: PTH208 (a million names, no need for a Path of each)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
