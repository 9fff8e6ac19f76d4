"""Names of images that do not depend on how a list spells its paths, and the classes they belong to. No torch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ltbench_datasets.published.annotations import Annotations
from ltbench_datasets.published.benchmark import Benchmark


class ImageName(NamedTuple):
    """An image by its category (empty where a list leaves it out) and its file's name."""

    category: str
    file: str


def image_names(benchmark: Benchmark, annotations: Annotations) -> list[ImageName]:
    """The N images of a list, as far as their paths tell."""
    categories: dict[str, str] = {}
    names = []
    for path in annotations.paths:
        folder, _, file = path.rpartition("/")
        if folder not in categories:
            categories[folder] = benchmark.category(folder)
        names.append(ImageName(categories[folder], file))
    return names


def with_categories(names: Sequence[ImageName], labels: np.ndarray, class_names: Sequence[str]) -> list[ImageName]:
    """The names, with the class's name as category where a list leaves it out. ``labels``: int64[N], all below C."""
    return [
        name if name.category else ImageName(class_names[label], name.file)
        for name, label in zip(names, labels.tolist(), strict=True)
    ]


class Conflict(NamedTuple):
    """An image whose label is not that of most images of its category.

    Attributes:
        position: in the list.
        label: it has.
        expected: label of most images of the category.
        others: how many those are.
    """

    position: int
    label: int
    expected: int
    others: int


def conflicts(names: Sequence[ImageName], labels: np.ndarray) -> list[Conflict]:
    """Images whose label disagrees with their category, in the order of the list; those without a category have none."""
    pairs = [(name.category, label) for name, label in zip(names, labels.tolist(), strict=True)]
    counts: dict[str, dict[int, int]] = {}
    for category, label in pairs:
        of_category = counts.setdefault(category, {})
        of_category[label] = of_category.get(label, 0) + 1
    usual = {category: max(found, key=lambda label: found[label]) for category, found in counts.items()}
    return [
        Conflict(position, label, usual[category], counts[category][usual[category]])
        for position, (category, label) in enumerate(pairs)
        if category and label != usual[category]
    ]


def class_names(names: Sequence[ImageName], labels: np.ndarray) -> list[str]:
    """The category of most images of each label up to the largest: C names, empty for a label without images."""
    counts: dict[int, dict[str, int]] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        of_label = counts.setdefault(label, {})
        of_label[name.category] = of_label.get(name.category, 0) + 1
    num_classes = int(labels.max()) + 1 if len(labels) else 0
    return [
        max(counts[label], key=lambda category: counts[label][category]) if label in counts else ""
        for label in range(num_classes)
    ]
