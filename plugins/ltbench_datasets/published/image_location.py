"""Finding images below a data root: which layout the tree has, and what is missing from it. No torch."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltbench.data.images.image_list import missing_files
from ltbench_datasets.published.benchmark import Benchmark, ImageSource
from ltbench_datasets.published.image_names import ImageName


@dataclass(frozen=True)
class LocatedImages:
    """The images of a list below a data root.

    Attributes:
        layout: folder of a category's images, as in :class:`ImageSource`; empty when the tree has none of the layouts.
        files: N paths on this machine, also of what is missing.
        missing: int64[M], positions of files that are not there.
    """

    layout: str
    files: list[str]
    missing: np.ndarray


def locate(benchmark: Benchmark, source: ImageSource, root: Path, names: Sequence[ImageName]) -> LocatedImages:
    """Find the images in the layout that has most of them.

    Args:
        names: N images, all with their categories.

    Raises:
        DataError: a folder cannot be read.
    """
    best: LocatedImages | None = None
    for layout in present_layouts(benchmark, source, root):
        files = _files(root, layout, names)
        found = LocatedImages(layout, files, missing_files(files))
        if best is None or len(found.missing) < len(best.missing):
            best = found
        if not len(best.missing):
            break
    if best is None:
        return LocatedImages("", _files(root, source.layouts[0], names), np.arange(len(names)))
    return best


def present_layouts(benchmark: Benchmark, source: ImageSource, root: Path) -> Iterator[str]:
    """The layouts whose uppermost folders are there, each with the folder below the root that it was found in."""
    for above in benchmark.roots:
        for layout in source.layouts:
            whole = f"{above}/{layout}" if above else layout
            if (root / whole.partition("{")[0]).is_dir():
                yield whole


def _files(root: Path, layout: str, names: Sequence[ImageName]) -> list[str]:
    folders = {}
    for category in {name.category for name in names}:
        nested = category.replace("-", "/")
        folders[category] = root / layout.format(category=category, initial=category[:1], nested=nested)
    return [f"{folders[name.category]}{os.sep}{name.file}" for name in names]
