"""Paired comparisons of classifiers on one test set. numpy and scipy only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltbench.errors import DataError


@dataclass(frozen=True)
class Difference:
    """A minus B in percentage points: estimate, interval ``low``..``high``, two-sided p value of no difference."""

    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class McNemar:
    """Samples that only A and only B classify correctly, and the exact two-sided p value of both being as likely."""

    only_a: int
    only_b: int
    p: float


def stratified_bootstrap(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    labels: np.ndarray,
    groups: Mapping[str, np.ndarray],
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Difference]:
    """Class-stratified paired bootstrap of the difference in accuracy, A minus B, averaged over seeds.

    Each resample draws, within every class, as many test samples as the class has, with replacement, the same for A and
    B; and as many seeds as there are, with replacement, the same for A and B. So the interval speaks of new test
    samples and of new trainings; with a single seed it speaks of these trained models on new test samples.

    Within a class only the outcome of a sample over the seeds matters, so what is drawn is how often each outcome
    occurs (multinomial) and not which samples were drawn. The interval is the percentile interval; p is twice the
    smaller share of resamples on one side of zero, each count plus one, so it never is 0 (Davison & Hinkley 1997,
    Ch. 4 and 5).

    Args:
        correct_a, correct_b: bool[S, N], whether sample n was classified correctly with seed s (bool[N] for one seed).
        labels: int64[N], the class of each sample.
        groups: name -> class ids; a group without samples is left out of the answer.

    Raises:
        DataError: shapes differ, or there is no sample.
    """
    difference = _paired_difference(correct_a, correct_b, labels)
    seeds = len(difference)
    # RandomState and not a Generator: its stream is frozen, so a committed leaderboard is the same under any numpy.
    random = np.random.RandomState(seed)
    times_drawn = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    resampled = {name: np.zeros((resamples, seeds), dtype=np.int64) for name in groups}
    observed = dict.fromkeys(groups, 0)
    sizes = dict.fromkeys(groups, 0)
    for label in np.unique(labels):
        own = difference[:, labels == label]
        drawn = _resampled_sums(own, resamples, random)
        for name, classes in groups.items():
            if label in classes:
                resampled[name] += drawn
                observed[name] += int(own.sum())
                sizes[name] += own.size
    return {
        name: _summary(100 * observed[name] / size, 100 * (resampled[name] * times_drawn).sum(axis=1) / size, level)
        for name, size in sizes.items()
        if size
    }


def holm(p_values: np.ndarray | list[float]) -> np.ndarray:
    """p values corrected for being a family (Holm 1979), in the order given: float64[K]."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepwise = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepwise, 1.0)
    return corrected


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> McNemar:
    """Exact McNemar test of two classifiers on the same samples, bool[N] each. Raises DataError when lengths differ."""
    from scipy.special import bdtr

    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"two equally long lists are needed, got shapes {a.shape} and {b.shape}.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    tail = float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))
    return McNemar(only_a, only_b, min(1.0, 2 * tail))


def _paired_difference(correct_a: Any, correct_b: Any, labels: np.ndarray) -> np.ndarray:
    """int64[S, N] in -1, 0, 1."""
    a, b = np.atleast_2d(np.asarray(correct_a, dtype=bool)), np.atleast_2d(np.asarray(correct_b, dtype=bool))
    if a.shape != b.shape or a.ndim != 2 or a.shape[1:] != np.shape(labels) or not a.size:
        raise DataError(
            "a paired comparison needs the same seeds and samples, "
            f"got shapes {a.shape} and {b.shape} for labels {np.shape(labels)}."
        )
    return a.astype(np.int64) - b.astype(np.int64)


def _resampled_sums(difference: np.ndarray, resamples: int, random: np.random.RandomState) -> np.ndarray:
    """Sums over the samples of a class, for each resample and seed: int64[S, n] -> [R, S]."""
    outcomes, counts = np.unique(difference.T, axis=0, return_counts=True)
    commonest_first = np.argsort(
        -counts, kind="stable"
    )  # numpy draws one binomial an outcome: the rest is then small and fast
    outcomes, counts = outcomes[commonest_first], counts[commonest_first]
    return random.multinomial(difference.shape[1], counts / counts.sum(), size=resamples) @ outcomes


def _summary(estimate: float, resampled: np.ndarray, level: float) -> Difference:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    smaller_side = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p = min(1.0, 2 * (smaller_side + 1) / (len(resampled) + 1))
    return Difference(estimate, float(low), float(high), p)
