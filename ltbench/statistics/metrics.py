"""Top-1 accuracy on the folds of a balanced test set, and the calibration of its confidences. numpy only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ltbench.data.folds import FOLDS, fold_rule
from ltbench.errors import DataError


def class_counts(correct: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(right, total): int64[C] each, from one boolean per sample ``correct`` bool[N] and ``labels`` int64[N]."""
    labels = np.asarray(labels)
    right = np.bincount(labels[np.asarray(correct, dtype=bool)], minlength=num_classes)
    return right.astype(np.int64), np.bincount(labels, minlength=num_classes).astype(np.int64)


def accuracy_from_counts(
    right: Sequence[int] | np.ndarray,
    total: Sequence[int] | np.ndarray,
    train_counts: Sequence[int] | np.ndarray,
    rule: str = "paper",
) -> dict[str, float]:
    """Percent right on each fold and on all classes, from per-class counts int64[C].

    Every number is the mean over the fold's samples, which on a balanced test set is the mean over its classes. A fold
    without test samples is left out.
    """
    folds = fold_rule(rule).assign(train_counts)
    sums = [np.bincount(folds, counts, len(FOLDS)).tolist() for counts in (right, total)]
    rights, totals = ([*of_folds, sum(of_folds)] for of_folds in sums)
    return {
        name: 100.0 * own / out_of
        for name, own, out_of in zip((*FOLDS, "all"), rights, totals, strict=True)
        if out_of > 0
    }


def fold_accuracy(predictions: Any, labels: Any, train_counts: Any, rule: str = "paper") -> dict[str, float]:
    """Top-1 accuracy in percent: ``{"many", "medium", "few", "all"}``.

    Args:
        predictions: int[N], predicted class ids.
        labels: int[N], true class ids.
        train_counts: int[C], training images of each class; decides the folds.
        rule: a name in :data:`ltbench.data.folds.FOLD_RULES`.

    Raises:
        DataError: lengths differ, no samples, or a label is no class.
        UsageError: unknown rule.
    """
    predictions, labels, train_counts = (np.asarray(values) for values in (predictions, labels, train_counts))
    if predictions.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise DataError(
            f"predictions and labels must be two equally long lists, got shapes {predictions.shape} and {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= len(train_counts):
        raise DataError(
            f"label {labels.max()} or {labels.min()} is outside 0..{len(train_counts) - 1}, the classes of train_counts."
        )
    right, total = class_counts(predictions == labels, labels, len(train_counts))
    return accuracy_from_counts(right, total, train_counts, rule)


def implied_all(accuracy: Mapping[str, float], fold_sizes: Mapping[str, int]) -> float:
    """The accuracy on all classes that those on the three folds imply, in percent: their mean, weighted by
    ``fold_sizes`` (classes in each fold)."""
    return sum(accuracy[fold] * fold_sizes[fold] for fold in FOLDS) / sum(fold_sizes[fold] for fold in FOLDS)


def calibration_error(confidence: Any, correct: Any, bins: int = 15) -> float:
    """Expected calibration error in percent over equal-width bins of the confidence (Guo et al. 2017, Eq. 3).

    ``confidence`` float[N] in 0..1, the posterior's maximum; ``correct`` bool[N].
    """
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    position = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(position, weights=correct - confidence, minlength=bins)
    return 100.0 * float(np.abs(gaps).sum()) / len(confidence)
