"""What contradicts itself, or the published counts, in an annotation list; each problem in words. No torch."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from ltbench_datasets.published.annotations import Annotations, malformed_text
from ltbench_datasets.published.benchmark import ImageSource
from ltbench_datasets.published.image_names import ImageName, conflicts


def malformed_lines(annotations: Annotations) -> Iterator[str]:
    """Lines that are no entry."""
    for line, text in annotations.malformed:
        yield f"line {line}: {malformed_text(text)}"


def image_keys(source: ImageSource, images: Sequence[ImageName]) -> list[Hashable]:
    """What tells the images of a source apart, however a list spells them."""
    return [image.file for image in images] if source.flat_names else list(images)


def repeated_images(annotations: Annotations, keys: Sequence[Hashable]) -> Iterator[str]:
    """Images that were listed before."""
    first: dict[Hashable, int] = {}
    for position, key in enumerate(keys):
        before = first.setdefault(key, position)
        if before != position:
            yield (
                f"line {annotations.lines[position]}: {annotations.paths[position]} stands in line "
                f"{annotations.lines[before]}, too"
            )


def wrong_labels(annotations: Annotations, images: Sequence[ImageName]) -> Iterator[str]:
    """Labels that disagree with the category in the path."""
    for found in conflicts(images, annotations.labels):
        yield (
            f"line {annotations.lines[found.position]}: {annotations.paths[found.position]} has label {found.label}, but "
            f"{found.others:,} images of '{images[found.position].category}' have label {found.expected}"
        )


def labels_out_of_order(annotations: Annotations, images: Sequence[ImageName]) -> Iterator[str]:
    """Lines of a flat list, which has no categories to compare with, whose label differs from one that both neighbours have.

    The flat lists that are published are sorted by label.
    """
    labels = annotations.labels
    inner = np.arange(1, len(labels) - 1)
    odd = inner[(labels[inner - 1] == labels[inner + 1]) & (labels[inner] != labels[inner - 1])]
    for position in odd.tolist():
        if not images[position].category:
            yield (
                f"line {annotations.lines[position]}: {annotations.paths[position]} has label {labels[position]}, the lines "
                f"before and after have {labels[position - 1]}"
            )


def wrong_counts(labels: np.ndarray, expected: np.ndarray, class_names: Sequence[str]) -> Iterator[str]:
    """Classes with another number of images than published.

    Args:
        labels: int64[N].
        expected: int64[C], images of each class.
        class_names: as far as they are known.
    """
    found = np.bincount(labels, minlength=len(expected))
    wanted = np.pad(expected, (0, len(found) - len(expected)))
    for label in np.flatnonzero(found != wanted).tolist():
        name = f" '{class_names[label]}'" if label < len(class_names) and class_names[label] else ""
        yield f"class {label}{name}: {found[label]:,} images, published: {wanted[label]:,}"
