"""Images that a user brings: a folder for each class, or lists of paths and labels; made long-tailed where asked."""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ltbench.data.base import SPLITS
from ltbench.data.carving import carve, imbalanced
from ltbench.data.images.file_dataset import FileDataset, FileOptions
from ltbench.data.images.image_list import ImageList
from ltbench.errors import DataError, UsageError
from ltbench_datasets.image_tree import Labelled, folder_names, read_list, read_tree

if TYPE_CHECKING:
    from ltbench.data.suggestions import Asked, Suggestion

_USUAL_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class FolderOptions(FileOptions):
    """Where the splits are, and what is made of them."""

    train: str | None = Field(
        default=None,
        description="training images: a subfolder of the data root that holds a folder for each class ('.': the root "
        "itself), or a list of lines 'path label', paths relative to the root, labels from 0; by default the subfolder "
        "train, or the root where it has no subfolders for splits",
    )
    val: str | None = Field(
        default=None,
        description="validation images, likewise; by default the subfolder val, valid or validation beside the training "
        "images' subfolder, or else carved from the training images",
    )
    test: str | None = Field(default=None, description="test images, likewise; by default the subfolder test")
    imbalance: float | None = Field(
        default=None,
        ge=1,
        description="sample the training images down to an exponentially falling number a class: the most frequent class "
        "keeps all, the rarest so many times fewer; classes keep their order by frequency",
    )
    val_per_class: int = Field(
        default=20,
        ge=1,
        description="validation images of each class, at most half of what it has, carved from the training images, after "
        "the imbalance, where there is no validation split",
    )
    test_per_class: int | None = Field(
        default=None,
        ge=1,
        description="test images of each class, carved from the training images, before the imbalance, where there is no "
        "test split",
    )
    seed: int = Field(default=0, ge=0, description="decides which images are drawn; not the seed of a run")


class Folder(FileDataset):
    """Any folder of images. Class ids follow the sorted names of the class folders, or the labels of the lists.

    Images are named by their paths relative to the data root.
    """

    Options = FolderOptions
    options: FolderOptions

    name = "folder"

    @property
    def class_names(self) -> list[str]:
        """Paths of the class folders; for lists their parent folders, or the labels where those do not tell classes apart."""
        return self._prepared[0]

    def image_list(self, name: str) -> ImageList:
        return self._prepared[1][name]

    def suggested_settings(self, asked: "Asked") -> "list[Suggestion]":
        """By the number of training images and classes, and the size of some images: :mod:`ltbench_datasets.folder_settings`."""
        from ltbench_datasets.folder_settings import suggest

        looks = self.looks()
        return suggest(len(self.image_list("train")), self.num_classes, looks, asked) if looks else []

    @cached_property
    def _prepared(self) -> tuple[list[str], dict[str, ImageList]]:
        """Class names and the three splits."""
        options, root, found = self.options, str(self.root), self._read()
        train = found["train"]
        names = (folder_names(train) if train.listed else None) or [str(name) for name in train.classes]
        splits = {
            split: ImageList(images.paths, [os.path.join(root, path) for path in images.paths], images.labels)  # noqa: PTH118 (a million paths)
            for split, images in found.items()
        }
        if "test" not in splits:
            splits["train"], splits["test"] = self._with_test_carved(splits["train"], names)
        if options.imbalance is not None:
            splits["train"] = splits["train"].only(
                _long_tailed(splits["train"].labels, options.imbalance, options.seed)
            )
        if "val" not in splits:
            kept, held_out = carve(splits["train"].labels, options.val_per_class, options.seed)
            if len(held_out) == 0:
                raise DataError(
                    f"{train.source}: no class has a second image to validate with. Name a validation split."
                )
            splits["train"], splits["val"] = splits["train"].only(kept), splits["train"].only(held_out)
        return names, splits

    def _with_test_carved(self, train: ImageList, names: list[str]) -> tuple[ImageList, ImageList]:
        each = self.options.test_per_class
        if each is None:
            raise DataError(
                f"{self.root} has no test split. Name one with the option test, or carve one from the training images: "
                "--set dataset.options.test_per_class=N."
            )
        counts = np.bincount(train.labels)
        if counts.min() < 2 * each:
            raise DataError(
                f"test_per_class = {each}: class {names[counts.argmin()]} has only {counts.min()} images, and the test split "
                f"may take half of them. Use at most {counts.min() // 2}."
            )
        kept, held_out = carve(train.labels, each, self.options.seed)
        return train.only(kept), train.only(held_out)

    def _read(self) -> dict[str, Labelled]:
        """The splits that there are."""
        root = self._checked_root()
        found = {
            split: read_list(source) if source.is_file() else read_tree(root, source)
            for split, source in self._sources(root).items()
        }
        if "test" in found and self.options.test_per_class is not None:
            raise UsageError(f"test_per_class is set, but there is a test split: {found['test'].source}. Leave it out.")
        _check_repeats(found)
        _check_classes(found)
        return found

    def _checked_root(self) -> Path:
        if self.root is None:
            raise DataError("the dataset 'folder' needs to know where the images are: --data-root DIR.")
        if not self.root.is_dir():
            raise DataError(f"there is no folder {self.root}.")
        return Path(os.path.normpath(self.root))

    def _sources(self, root: Path) -> dict[str, Path]:
        """Folder or list of each split that is named or has the usual place."""
        asked = {split: getattr(self.options, split) for split in SPLITS}
        named = {split: _existing(root, split, name) for split, name in asked.items() if name is not None}
        usual = {
            split: next((root / name for name in names if (root / name).is_dir()), None)
            for split, names in _USUAL_NAMES.items()
        }
        beside = usual["val"] or usual["test"]
        if "train" not in named and usual["train"] is None and beside is not None:
            raise DataError(
                f"{root} has a subfolder {beside.name}, but none named train. Name the training images' with "
                "--set dataset.options.train=NAME ('.' where all subfolders of the root are classes)."
            )
        train = named.get("train") or usual["train"] or root
        # Beside a list, or in a root whose subfolders are classes, the usual names mean no splits.
        if train == root or train.is_file():
            usual = {}
        sources = {split: named.get(split) or usual.get(split) for split in SPLITS} | {"train": train}
        return {split: source for split, source in sources.items() if source is not None}


def _existing(root: Path, split: str, name: str) -> Path:
    source = Path(os.path.normpath(root / name))
    if not source.exists():
        raise DataError(f"{split} = {name}: there is no {source}.")
    if source.is_dir() and not source.is_relative_to(root):
        raise DataError(f"{split} = {name}: a folder of images has to lie in the data root {root}.")
    return source


def _long_tailed(labels: np.ndarray, factor: float, seed: int) -> np.ndarray:
    """Positions of a sample in which the classes' order by frequency stays."""
    order = np.argsort(-np.bincount(labels), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return imbalanced(rank[labels], factor, seed)


def _check_classes(found: dict[str, Labelled]) -> None:
    """The training images' classes are complete, and every split has the same."""
    train = found["train"]
    if len(train.classes) < 2:
        raise DataError(f"{train.source} holds only one class, {train.classes[0]}.")
    if len({images.listed for images in found.values()}) > 1:
        kinds = ", ".join(f"{split}: {images.source}" for split, images in found.items())
        raise DataError(
            f"give folders for all splits, or lists for all: labels cannot be matched with folders ({kinds})."
        )
    if train.listed and train.classes[-1] >= len(train.classes):
        absent = next(label for label, present in enumerate(train.classes) if label != present)
        raise DataError(
            f"{train.source}: no training images of class {absent}, but labels go up to {train.classes[-1]}. Number the "
            "classes from 0 without gaps."
        )
    known = set(train.classes)
    for split, images in found.items():
        if missing := known - set(images.classes):
            raise DataError(f"{images.source}: no {split} images of {_some(missing)}.")
        if unknown := set(images.classes) - known:
            raise DataError(f"{images.source}: {split} images of {_some(unknown)}, but no training images.")


def _check_repeats(found: dict[str, Labelled]) -> None:
    """No image is used twice, in one split or in two."""
    first: dict[str, str] = {}
    for split, images in found.items():
        for path in images.paths:
            if path in first:
                raise DataError(f"{images.source}: {path} of {split} stands already in {first[path]}.")
            first[path] = split


def _some(classes: Iterable[Any]) -> str:
    """``class 3``, or ``class 3 and 7 more``."""
    first, *more = sorted(classes)
    return f"class {first}" + (f" and {len(more)} more" if more else "")
