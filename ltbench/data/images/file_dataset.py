"""Datasets of image files: read from the files themselves or from a packed copy."""

import hashlib
import json
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from ltbench.common.cache import cache_dir
from ltbench.data.base import SPLITS, Dataset, Split
from ltbench.data.checks import CheckReport, Counts
from ltbench.data.images.image_list import ImageList
from ltbench.errors import DataError

if TYPE_CHECKING:
    from ltbench.data.images.contents import Contents
    from ltbench.data.images.image_checks import ImagesReport
    from ltbench.data.images.image_files import ImageFileSplit
    from ltbench.data.images.looks import Looks
    from ltbench.data.images.packed import PackedSplit, PackSettings

__all__ = ["FileDataset", "FileOptions"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FileOptions(Dataset.Options):
    """How image files are read."""

    storage: Literal["files", "packed"] = Field(
        default="files", description="read the original files, or the packed copy that 'ltbench data pack' made of them"
    )
    short_side: int = Field(default=256, ge=8, description="storage = packed: short side of the packed images, pixels")
    on_bad_image: Literal["error", "skip"] = Field(
        default="error",
        description="error: a missing or unreadable image ends the run; skip: every image is decoded once before the run, "
        "and those that cannot be read are left out and named in the record",
    )
    exif: Literal["ignore", "apply"] = Field(
        default="ignore",
        description="whether the orientation in the EXIF data is applied; published pipelines ignore it",
    )


class FileDataset(Dataset):
    """A dataset whose splits are lists of image files. Every file is read once to know its content (:attr:`contents`).

    Subclasses give :meth:`image_list` and ``class_names``.
    """

    Options = FileOptions
    options: FileOptions
    image_shape = (3, 224, 224)
    mean, std = IMAGENET_MEAN, IMAGENET_STD

    @abstractmethod
    def image_list(self, name: str) -> ImageList:
        """The images of ``train``, ``val`` or ``test``, as the annotations name them. Called once each.

        With ``storage = "packed"`` or ``on_bad_image = "skip"`` the files need not be there.

        Raises:
            DataError: the annotations are missing or wrong, or images are not where they should be.
        """

    def split(self, name: str) -> Split:
        return self._splits[name]

    @property
    def storage(self) -> str:  # type: ignore[override]
        """What the options change of the pixels."""
        packed = f"packed, short side {self.options.short_side}" if self.options.storage == "packed" else ""
        return ", ".join(part for part in (packed, "EXIF applied" if self._upright else "") if part)

    @property
    def skipped(self) -> dict[str, list[str]]:
        return {
            name: [self._named[name].names[position] for position in sorted(bad)]
            for name, bad in self.bad.items()
            if bad
        }

    @cached_property
    def bad(self) -> dict[str, dict[int, str]]:
        """Split -> position in its list -> why the image is left out; nothing is, unless ``on_bad_image = "skip"``."""
        from ltbench.data.images.scan import remembered_scan

        if self.options.on_bad_image == "error":
            return {name: {} for name in SPLITS}
        return {
            name: remembered_scan(images.files, self._found[name], f"checking {name} images", self.progress)
            for name, images in self._named.items()
        }

    @cached_property
    def lists(self) -> dict[str, ImageList]:
        """The images of each split that are used. Raises DataError where none of a split can be read."""
        found = {}
        for name, images in self._named.items():
            found[name] = images.only(self._kept(name)) if self.bad[name] else images
            if not len(found[name]):
                raise DataError(f"{self.name}: no image of the {name} split can be read.")
        return found

    @cached_property
    def contents(self) -> dict[str, "Contents"]:
        """What the files of :attr:`lists` hold. The first time all are read, later those that have changed."""
        return {name: self._found[name].only(self._kept(name)) for name in self.lists}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over class names and, for each split in order, the images' names, labels and contents.

        The contents are those of the files, also of a packed copy: it keeps the digests of what it was made from. From now
        on a file that is read and has another content than it had is an error.
        """
        total = hashlib.sha256(json.dumps(list(self.class_names)).encode())
        for name, images in self.lists.items():
            total.update(f"{name} {len(images)}\n".encode())
            total.update("\n".join(images.names).encode("utf-8", "surrogateescape"))
            total.update(np.ascontiguousarray(images.labels, dtype="<i8").tobytes())
            total.update(self._digests(name).tobytes())
        return total.hexdigest()

    def _digests(self, name: str) -> np.ndarray:
        """uint8[N, 32] of a split's files."""
        from ltbench.data.images.image_bytes import unreadable
        from ltbench.data.images.packed import PackedSplit

        split = self._splits[name]
        if isinstance(split, PackedSplit):
            return split.originals
        found = self.contents[name]
        for position in sorted(found.wrong)[:1]:
            raise unreadable(self.lists[name].files[position], found.wrong[position])
        split.expect(found)
        return found.digests

    def check(self, decode: bool = True) -> CheckReport:
        from ltbench.data.images.image_checks import check_images

        return check_images(self.look_for_images(), decode, self.progress)

    def look_for_images(self) -> "list[ImagesReport]":
        """Which files are there, for each split. Raises DataError where the annotations are missing or wrong."""
        from ltbench.data.images.image_checks import images_report

        return [images_report(name, self.image_list(name).files) for name in SPLITS]

    def looks(self) -> "Looks | None":
        """What some of the training images look like, by their headers or in the packed copy; None where none can be read.

        Raises DataError where the annotations are missing or wrong, or the packed copy is damaged.
        """
        from ltbench.data.images.looks import look_at, look_at_packed
        from ltbench.data.images.packed_file import PackedFile

        if self.options.storage == "files":
            return look_at(self.image_list("train").files)
        path = self.pack_file("train")
        return look_at_packed(PackedFile(path)) if path.is_file() else None

    def counts(self) -> Counts:
        labels = {name: self.image_list(name).labels for name in SPLITS}
        return Counts(self.count(labels), "the images' paths or lists")

    def pack_file(self, name: str, folder: Path | None = None) -> Path:
        """Where the packed copy of a split is, or would be: in ``folder``, else beside the images or in the cache folder."""
        from ltbench.data.images.packed import pack_name

        file = pack_name(self.lists[name], name, self.pack_settings)
        places = [self.cache_folder] if self.root is None else [self.root / "packed" / self.name, self.cache_folder]
        places = places if folder is None else [folder]
        return next((place / file for place in places if (place / file).is_file()), places[0] / file)

    @property
    def cache_folder(self) -> Path:
        """Where packed copies go that shall not lie beside the images."""
        return cache_dir() / "packed" / self.name

    @property
    def pack_settings(self) -> "PackSettings":
        """How its images are packed."""
        from ltbench.data.images.packed import PackSettings

        return PackSettings(self.options.short_side, self._upright)

    @property
    def _upright(self) -> bool:
        return self.options.exif == "apply"

    @cached_property
    def _named(self) -> dict[str, ImageList]:
        return {name: self.image_list(name) for name in SPLITS}

    @cached_property
    def _found(self) -> dict[str, "Contents"]:
        """What the files hold that the annotations name."""
        from ltbench.data.images.contents import read_contents

        every = read_contents(
            [file for images in self._named.values() for file in images.files], self.root, self.progress
        )
        ends = np.cumsum([len(images) for images in self._named.values()])
        parts = np.split(np.arange(ends[-1]), ends[:-1])
        return {name: every.only(part) for name, part in zip(self._named, parts, strict=True)}

    def _kept(self, name: str) -> np.ndarray:
        """int64[N], positions in the list of a split of the images that are used."""
        return np.setdiff1d(np.arange(len(self._named[name])), [*self.bad[name]])

    @cached_property
    def _splits(self) -> dict[str, "ImageFileSplit | PackedSplit"]:
        return {name: self._opened(name) for name in SPLITS}

    def _opened(self, name: str) -> "ImageFileSplit | PackedSplit":
        from ltbench.data.images.image_files import ImageFileSplit
        from ltbench.data.images.packed import PackedSplit

        size = self.image_shape[-1]
        if self.options.storage == "files":
            return ImageFileSplit(self.lists[name], size, self._upright)
        path = self.pack_file(name)
        if not path.is_file():
            root = f" --data-root {self.root}" if self.root else ""
            raise DataError(
                f"{self.name}: there is no packed copy of the {name} split ({path}). Make it with 'ltbench data pack "
                f"{self.name}{root}'."
            )
        return PackedSplit(self.lists[name], path, self.pack_settings, size, self.contents[name])
