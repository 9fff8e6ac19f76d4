"""Which images of a class are used: a validation split carved from the training images, and long-tailed samples of them.

Every class has a random stream of its own, so that its draw does not change with the images of the others; a smaller
draw is part of a larger one.
"""

import numpy as np

from ltbench.errors import UsageError

__all__ = ["carve", "exponential_counts", "imbalanced"]

_CARVE, _IMBALANCE = 0, 1
"""Streams: what is held out and what makes the data long-tailed are drawn independently for one seed."""


def carve(labels: np.ndarray, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images kept for training and images held out, drawn class by class.

    Of a class with n images, min(per_class, n // 2) are held out: a class of one image keeps it.

    Args:
        labels: int64[N].
        per_class: images of each class to hold out, at least 0.
        seed: of the draw, at least 0.

    Returns:
        Positions kept, positions held out: int64, ascending; together they are 0..N-1.
    """
    counts = np.bincount(labels)
    held_out = _drawn(labels, np.minimum(min(per_class, len(labels)), counts // 2), seed, _CARVE)
    return np.setdiff1d(np.arange(len(labels)), held_out, assume_unique=True), held_out


def exponential_counts(num_classes: int, largest: int, factor: float) -> np.ndarray:
    """Images of each class, int64[C]: n_c = largest * factor^(-c / (C - 1)), rounded down (Cao et al. 2019, Sec. 4).

    Computed as in their published code, whose roundings give the sizes of CIFAR-LT in the literature. A class whose exact
    count is 1 has one image, where floating point falls short of 1.

    Raises:
        UsageError: the factor is below 1, or so large that the rarest class would have no image.
    """
    if factor < 1:
        raise UsageError(f"an imbalance factor of {factor:g}: it is the largest class over the smallest, at least 1")
    if factor > largest:
        raise UsageError(
            f"an imbalance factor of {factor:g} leaves the rarest class without images, as the most frequent one has "
            f"{largest}. Use a factor of at most {largest}."
        )
    steps = max(num_classes - 1.0, 1.0)
    counts = [int(largest * ((1 / factor) ** (rank / steps))) for rank in range(num_classes)]
    return np.maximum(counts, 1).astype(np.int64)


def imbalanced(labels: np.ndarray, factor: float, seed: int, largest: int | None = None) -> np.ndarray:
    """A long-tailed sample: class 0 the most frequent, with the counts of :func:`exponential_counts`.

    Args:
        labels: int64[N]; the classes are 0 to the largest label, in the order of their frequency afterwards.
        factor: the most frequent class over the rarest, at least 1.
        seed: of the draw, at least 0.
        largest: images of class 0; by default as many as the class with most images has. A class that has fewer images
            than its place in the order asks for keeps all of them.

    Returns:
        Positions used: int64, ascending.

    Raises:
        UsageError: as :func:`exponential_counts`.
    """
    counts = np.bincount(labels)
    wanted = exponential_counts(len(counts), int(counts.max()) if largest is None else largest, factor)
    return _drawn(labels, np.minimum(wanted, counts), seed, _IMBALANCE)


def _drawn(labels: np.ndarray, draws: np.ndarray, seed: int, stream: int) -> np.ndarray:
    """Positions of ``draws[c]`` random images of each class c, ascending."""
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
    chosen = [
        np.random.default_rng([seed, stream, label]).permutation(positions)[:drawn]
        for label, (positions, drawn) in enumerate(zip(by_class, draws, strict=True))
    ]
    return np.sort(np.concatenate(chosen))
