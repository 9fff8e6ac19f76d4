"""The images of one split and their classes: from a tree of class folders, or from a list of paths and labels. No torch."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ltbench.errors import DataError
from ltbench_datasets.published.annotations import read_annotations

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""What makes a file an image, whatever the case of its letters."""


@dataclass(frozen=True)
class Labelled:
    """Images of one split.

    Attributes:
        source: the folder or list that they come from.
        paths: N paths relative to the data root, with forward slashes.
        classes: the distinct classes, ascending: names of folders, or the integer labels of a list.
        labels: int64[N], positions in ``classes``.
        listed: they come from a list.
    """

    source: Path
    paths: list[str]
    classes: Sequence[Any]
    labels: np.ndarray
    listed: bool


def read_tree(root: Path, folder: Path) -> Labelled:
    """Every folder in ``folder`` that itself holds images is a class, named by its path in it (``a/abbey``).

    Names that start with a dot are passed over, links are followed, but no folder is read twice: a link back to one above it
    would never end, and another to one beside it would give its images two classes. Paths are sorted class by class. No file
    is opened or asked for its properties, so that a million of them take seconds.

    Args:
        root: the data root.
        folder: it, or a folder in it.

    Raises:
        DataError: a folder cannot be read or is met twice, an image lies in no class folder, or there is no image at all.
    """
    images_of: dict[str, list[str]] = {}
    met: dict[str, str] = {}
    for where, subfolders, files in os.walk(folder, followlinks=True, onerror=_unreadable):
        first = met.setdefault(os.path.realpath(where), where)
        if first != where:
            raise DataError(
                f"{where} is a link that leads to {first}, which is read already. Take one of the two away."
            )
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        images = [name for name in files if name.lower().endswith(EXTENSIONS) and not name.startswith(".")]
        if images:
            images_of[Path(where).relative_to(folder).as_posix()] = sorted(images)
    if not images_of:
        raise DataError(
            f"{folder} holds no images ({', '.join(EXTENSIONS)}). Expected a folder of images for each class."
        )
    if "." in images_of:
        raise DataError(
            f"{folder} holds {images_of['.'][0]} outside any class. Expected a folder of images for each class; or give "
            "a list of lines 'path label'."
        )
    classes = sorted(images_of)
    prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    paths = [f"{prefix}{name}/{image}" for name in classes for image in images_of[name]]
    labels = np.repeat(np.arange(len(classes)), [len(images_of[name]) for name in classes])
    return Labelled(folder, paths, classes, labels, listed=False)


def read_list(path: Path) -> Labelled:
    """The images of a text list of lines ``path label``. Raises DataError as :func:`read_annotations`."""
    annotations = read_annotations(path)
    classes, labels = np.unique(annotations.labels, return_inverse=True)
    return Labelled(path, annotations.paths, classes.tolist(), labels.astype(np.int64), listed=True)


def folder_names(images: Labelled) -> list[str] | None:
    """Names for the classes of a list: the folder in which each keeps its images, without what they have in common.

    None where a class has images in several folders or in none, or a folder images of several classes.
    """
    folders: dict[int, set[str]] = defaultdict(set)
    for path, label in zip(images.paths, images.labels.tolist(), strict=True):
        folders[label].add(path.rpartition("/")[0])
    names = [next(iter(folders[label])) for label in range(len(folders))]
    if "" in names or len(set(names)) < len(names) or any(len(found) > 1 for found in folders.values()):
        return None
    split = [name.split("/") for name in names]
    common = 0
    while all(len(parts) > common + 1 and parts[common] == split[0][common] for parts in split):
        common += 1
    return ["/".join(parts[common:]) for parts in split]


def _unreadable(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error
