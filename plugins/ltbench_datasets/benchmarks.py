"""ImageNet-LT, Places-LT and iNaturalist 2018: published annotation lists over images that the user has."""

import sys
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from ltbench.data.base import SPLITS
from ltbench.data.carving import carve
from ltbench.data.checks import CheckReport, Counts
from ltbench.data.images.file_dataset import FileDataset, FileOptions
from ltbench.data.images.image_checks import ImagesReport, images_report
from ltbench.data.images.image_list import ImageList
from ltbench.errors import DataError
from ltbench_datasets.published.annotations import Annotations, read_annotations, read_content
from ltbench_datasets.published.benchmark import IMAGENET_LT, INATURALIST2018, PLACES_LT, Benchmark
from ltbench_datasets.published.facts import known_counts
from ltbench_datasets.published.image_location import LocatedImages, locate
from ltbench_datasets.published.image_names import ImageName, class_names, conflicts, image_names, with_categories
from ltbench_datasets.published.list_diff import known_variant
from ltbench_datasets.published.list_files import fetched_folder, find_list, list_folders, require_list
from ltbench_datasets.published.list_reports import inspect_lists, list_lines

SHOWN = 3
"""Missing images that an error names."""

CARVING_SEED = 0
"""The validation set is part of the benchmark, not of a run: it stays the same for all seeds."""


class ListOptions(FileOptions):
    """Where the lists are, and how image files are read."""

    lists: Path | None = Field(
        default=None,
        description="folder of the annotation lists (.txt or .txt.gz); by default the data root, its folder 'lists', and "
        "where 'ltbench data fetch' puts them",
    )


class ListDataset(FileDataset):
    """A dataset given by published ``path label`` lists.

    Any published spelling of the paths serves any layout of the images, and the fingerprint is the same for all of them:
    an image is named by its category and its file's name.

    Raises:
        DataError: on first use, when a list is missing or contradicts itself, or images are missing.
    """

    Options = ListOptions
    options: ListOptions
    benchmark: ClassVar[Benchmark]

    @cached_property
    def class_names(self) -> list[str]:
        """Categories by label, from the training list."""
        annotations, names = self._read["train"]
        if found := conflicts(names, annotations.labels):
            first = found[0]
            raise DataError(
                f"{self._file('train')}, line {annotations.lines[first.position]}: {annotations.paths[first.position]} has "
                f"label {first.label}, but {first.others:,} images of '{names[first.position].category}' have label "
                f"{first.expected}. {self._advice()}"
            )
        found_names = class_names(names, annotations.labels)
        if "" in found_names:
            raise DataError(
                f"{self._file('train')} has no image with label {found_names.index('')}, but one with label "
                f"{len(found_names) - 1}. {self._advice()}"
            )
        return found_names

    def annotated(self, name: str) -> tuple[list[ImageName], np.ndarray]:
        """The N images of a split, all with their categories, and int64[N] labels; no image needs to be there.

        Raises:
            DataError: a list is missing or wrong.
        """
        return self.listed(self.benchmark.list_of_split[name])

    def listed(self, name: str) -> tuple[list[ImageName], np.ndarray]:
        """As :meth:`annotated`, for all that list ``name`` holds."""
        annotations, names = self._read[name]
        beyond = np.flatnonzero(annotations.labels >= self.num_classes)
        if len(beyond):
            raise DataError(
                f"{self._file(name)}, line {annotations.lines[beyond[0]]}: label {annotations.labels[beyond[0]]}, but the "
                f"training list has {self.num_classes} classes (0 to {self.num_classes - 1}). {self._advice()}"
            )
        return with_categories(names, annotations.labels, self.class_names), annotations.labels

    def image_list(self, name: str) -> ImageList:
        images, labels = self.annotated(name)
        source = self.benchmark.sources[self.benchmark.list_of_split[name]]
        names = [f"{source.prefix}/{image.category}/{image.file}" for image in images]
        packed = self.options.storage == "packed"
        if self.root is None:
            if packed:
                return ImageList(names, names, labels)
            raise DataError(
                f"{self.name} needs the folder of its images: --data-root DIR. They come from {source.download}."
            )
        located = locate(self.benchmark, source, self.root, images)
        missing = len(located.missing)
        if not packed and (missing == len(names) or (missing and self.options.on_bad_image == "error")):
            raise DataError(self._missing_text(name, located))
        return ImageList(names, located.files, labels)

    def check(self, decode: bool = True) -> CheckReport:
        """Lists are compared with the published ones by their hash, and searched for what differs where they equal none."""
        lists = inspect_lists(self.benchmark, self._list_folders)
        wrong = sum(bool(report.problems) for report in lists)
        lines = [line for report in lists for line in list_lines(report)]
        found = {"lists": [report.to_json() for report in lists]}
        told = f"{wrong} of {len(lists)} lists are wrong" if wrong else ""
        try:
            images = super().check(decode)
        except DataError:
            if not wrong:  # else what is wrong with the lists stands in their reports already
                raise
            return CheckReport(lines, found, f"{told}; the images could not be looked at")
        return CheckReport([*lines, *images.lines], found | images.found, told or images.wrong)

    def look_for_images(self) -> list[ImagesReport]:
        """Which files are there, for each published list; a list may serve several splits."""
        if self.root is None:
            raise DataError(f"{self.name} needs the folder of its images: --data-root DIR.")
        reports = []
        for name, source in self.benchmark.sources.items():
            images, _ = self.listed(name)
            found = locate(self.benchmark, source, self.root, images)
            reports.append(images_report(name, found.files, found.layout, source.download, found.missing))
        return reports

    def counts(self) -> Counts:
        """In the lists, or the published counts where no list is at hand."""
        files = [find_list(self.benchmark, name, self._list_folders) for name in self.benchmark.lists]
        if not any(files):
            known = known_counts(self.benchmark.name)
            return Counts(known.by_split, f"no list was found; published counts of the lists ({known.source})")
        return Counts(self.count({name: self.annotated(name)[1] for name in SPLITS}), ", ".join(map(str, files)))

    def _missing_text(self, split: str, located: LocatedImages) -> str:
        source = self.benchmark.sources[self.benchmark.list_of_split[split]]
        first = ", ".join(located.files[position] for position in located.missing[:SHOWN])
        text = (
            f"{self.benchmark.name}: {len(located.missing):,} of {len(located.files):,} images of the {split} split are "
            f"missing: {first}{', ...' if len(located.missing) > SHOWN else ''}. They come from {source.download}. "
        )
        if not located.layout:
            return text + f"Below {self.root} is none of the known folders: {', '.join(source.layouts)}."
        if len(located.missing) == len(located.files):
            return text + f"{self._advice()}"
        return text + f"{self._advice()} To leave them out: --on-bad-image skip (option on_bad_image=skip)."

    def _advice(self) -> str:
        root = f" --data-root {self.root}" if self.root else ""
        return f"'ltbench data check {self.benchmark.name}{root}' says more."

    @cached_property
    def _read(self) -> dict[str, tuple[Annotations, list[ImageName]]]:
        """List -> its entries and the images they name."""
        read = {name: self._annotations(name) for name in self.benchmark.lists}
        return {name: (found, image_names(self.benchmark, found)) for name, found in read.items()}

    def _annotations(self, name: str) -> Annotations:
        """The entries of a list. What 'data fetch' put into the cache was a published list; another one there costs a line."""
        file = self._file(name)
        fetched = file.parent == fetched_folder(self.benchmark)
        if fetched and not known_variant(self.benchmark, name, read_content(file)):
            print(
                f"ltbench: {file} is none of the published lists, or a damaged one. {self._advice()}", file=sys.stderr
            )
        return read_annotations(file)

    def _file(self, name: str) -> Path:
        return require_list(self.benchmark, name, self._list_folders)

    @property
    def _list_folders(self) -> list[Path]:
        return list_folders(self.benchmark, self.root, self.options.lists)


class ImageNetLT(ListDataset):
    """1,000 classes, 115,846 training images, 1,280 to 5 a class (Liu et al. 2019); class names are WordNet ids."""

    name = "imagenet-lt"
    benchmark = IMAGENET_LT


class PlacesLT(ListDataset):
    """365 classes, 62,500 training images, 4,980 to 5 a class (Liu et al. 2019); class names are Places365's categories."""

    name = "places-lt"
    benchmark = PLACES_LT


class NaturalistOptions(ListOptions):
    """The validation set, where the lists are, and how image files are read."""

    val_per_class: int = Field(
        default=3,
        ge=1,
        description="images of each class, at most half of them, that are taken from training for validation: the published "
        "validation list is what is tested on",
    )


class INaturalist2018(ListDataset):
    """8,142 classes, 437,513 listed training images, 1,000 to 2 a class; class names are folders such as ``Aves/2761``.

    There is no test list: the published validation list (3 images a class) is the test split, and the validation split is
    carved from the training list.
    """

    name = "inaturalist2018"
    benchmark = INATURALIST2018
    Options = NaturalistOptions
    options: NaturalistOptions

    def annotated(self, name: str) -> tuple[list[ImageName], np.ndarray]:
        names, labels = super().annotated(name)
        if name == "test":
            return names, labels
        kept, held_out = carve(labels, self.options.val_per_class, CARVING_SEED)
        positions = kept if name == "train" else held_out
        return [names[position] for position in positions], labels[positions]
