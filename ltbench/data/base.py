"""What a dataset is: three splits of whole uint8 batches, class names, training counts, a fingerprint."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ltbench.data.augmentation.cuts import Cut
from ltbench.data.checks import CheckReport, Counts
from ltbench.data.guard import guarded
from ltbench.errors import DataError

if TYPE_CHECKING:
    from ltbench.data.suggestions import Asked, Suggestion

__all__ = ["SPLITS", "Batch", "CutSplit", "Dataset", "Split", "TensorSplit", "Watch"]

SPLITS = ("train", "val", "test")
"""The splits of every dataset."""


class Batch(NamedTuple):
    """Samples as they travel to the device; augmentation and normalisation happen there.

    Attributes:
        images: uint8[B, C, H, W].
        labels: int64[B], dataset class ids.
        indices: int64[B], positions in the split.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


@runtime_checkable
class Split(Protocol):
    """A map-style dataset that answers a list of indices with a whole :class:`Batch`; ``len`` is N."""

    labels: Tensor
    """int64[N]"""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The samples at ``indices``, in that order. Raises DataError for one that cannot be read."""


@runtime_checkable
class CutSplit(Split, Protocol):
    """A split of stored images that differ in size: it is told which part of each to read."""

    def cut(self, indices: Sequence[int], cut: Cut) -> Batch:
        """The batch of square images that ``cut`` takes from the samples at ``indices``.

        Raises:
            DataError: an image cannot be read; with its path.
        """


class TensorSplit:
    """A split held in memory: ``images`` uint8[N, C, H, W], ``labels`` int64[N]. Raises ValueError for others."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or len(images) != len(labels):
            raise ValueError(
                f"expected uint8[N, C, H, W] images and N labels, got {images.dtype}{tuple(images.shape)}, {len(labels)}"
            )
        self.images = images
        self.labels = labels.to(torch.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return Batch(self.images[chosen], self.labels[chosen], chosen)


Watch = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""``with watch("checking images", total) as done: ...`` shows progress; ``done()`` after each step, from any thread."""


@contextmanager
def unwatched(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Progress that is shown nowhere."""
    yield lambda: None


class Dataset(ABC):
    """A long-tailed dataset. Subclasses set ``Options`` and provide the three splits, the class names and the fingerprint.

    While a method is built or trained, ``split("test")`` of any dataset raises PluginError.

    Attributes:
        Options: class of its parameters, a pydantic model with described fields.
        options: the parameters of this object, of that class.
        root: the folder of its images, where it needs one.
        name: as it is registered.
        image_shape: what a split's batches hold: (channels, height, width).
        storage: how the images are kept where that changes their pixels but not which images they are: it enters the keys of
            stages, not the fingerprint.
        mean: per channel, in units of 0..1; used for normalisation.
        std: the same.
        progress: where long work (checking images, say) is shown; by default nowhere.
    """

    class Options(BaseModel):
        """No options."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    image_shape: tuple[int, int, int]
    storage: str = ""
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "split" in vars(cls):
            cls.split = guarded(cls.split)  # type: ignore[method-assign]

    def __init__(self, options: BaseModel | None = None, root: Path | None = None) -> None:
        self.options = options if options is not None else self.Options()
        self.root = root
        self.progress: Watch = unwatched

    @property
    @abstractmethod
    def class_names(self) -> list[str]:
        """C names; the position is the class id."""

    @abstractmethod
    def split(self, name: str) -> Split:
        """``train``, ``val`` or ``test``. Loads what it needs on first use and keeps it."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 (hex) of the content that decides results: images or the lists that name them, labels, options."""

    def suggested_settings(self, asked: "Asked") -> Iterable["Suggestion"]:
        """Settings of a run that suit these images, each with its reason: they lie above the defaults and below all else.

        Asked whenever settings are resolved, so it must be fast, and depend on ``asked`` and the images alone. By default none.
        """
        return ()

    @property
    def skipped(self) -> dict[str, list[str]]:
        """Split -> names of the samples that were left out because they cannot be read."""
        return {}

    def check(self, decode: bool = True) -> CheckReport:
        """Whether all of it is there, for ``ltbench data check``; here: whether the splits can be opened.

        ``decode``: read every image, too, where there are files to read. Raises DataError where nothing can be said.
        """
        sizes = {name: len(self.split(name)) for name in SPLITS}
        told = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        return CheckReport(
            [f"{self.name} is not made of image files; it could be opened: {told} images"], {"opened": sizes}
        )

    def counts(self) -> Counts:
        """Images of each class in each split, for ``ltbench data stats``. Raises DataError for data that cannot be read."""
        labels = {name: self.split(name).labels.numpy() for name in SPLITS}
        return Counts(self.count(labels), "the opened dataset")

    def count(self, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Split -> images of each class, int64[C], for labels int64[N] of each split."""
        return {name: np.bincount(found, minlength=self.num_classes) for name, found in labels.items()}

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @cached_property
    def train_counts(self) -> np.ndarray:
        """Training images of each class: int64[C]."""
        return np.bincount(self.split("train").labels.numpy(), minlength=self.num_classes).astype(np.int64)


def check_splits(dataset: Dataset) -> None:
    """Every split has samples, each with a class.

    Raises:
        DataError: a split is empty, or has a label that is no class.
    """
    for name in SPLITS:
        labels = dataset.split(name).labels
        if not len(labels):
            raise DataError(f"{dataset.name}: the {name} split is empty. Nothing can be measured without its images.")
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= dataset.num_classes:
            raise DataError(
                f"{dataset.name}: the {name} split has labels from {lowest} to {highest}, but there are "
                f"{dataset.num_classes} classes (0 to {dataset.num_classes - 1})."
            )
