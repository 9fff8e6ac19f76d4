"""Paired comparisons of classifiers on one test set. numpy and scipy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltbench.errors import DataError

_BLOCK = 100_000
"""Draws made at once: bounds the memory. Part of the stream: another value draws other resamples."""


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

    The interval is the percentile interval; p is twice the smaller share of resamples on one side of zero, each count
    plus one, so it never is 0 (Davison & Hinkley 1997, Ch. 4 and 5).

    Args:
        correct_a, correct_b: bool[S, N], whether sample n was classified correctly with seed s (bool[N] for one seed).
        labels: int64[N], the class of each sample.
        groups: name -> class ids; a group without samples is left out of the answer.

    Raises:
        DataError: shapes differ, or there is no sample.
    """
    pairs = [(correct_a, correct_b)]
    return stratified_bootstraps(pairs, labels, groups, resamples=resamples, level=level, seed=seed)[0]


def stratified_bootstraps(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray,
    groups: Mapping[str, np.ndarray],
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Difference]]:
    """:func:`stratified_bootstrap` of several pairs on the same resamples of the test samples, in little more time."""
    differences = [_paired_difference(a, b, labels) for a, b in pairs]
    if not differences:
        return []
    own = {name: np.isin(labels, classes) for name, classes in groups.items() if np.isin(labels, classes).any()}
    sums = _resampled_sums(np.concatenate(differences).T, labels, own, resamples, seed)
    answers = []
    start = 0
    for difference in differences:
        seeds = len(difference)
        times_drawn = _seeds_drawn(seeds, resamples, seed)
        answer = {}
        for name, samples in own.items():
            resampled = (sums[name][:, start : start + seeds] * times_drawn).sum(axis=1)
            points = 100 / (seeds * int(samples.sum()))
            answer[name] = _summary(int(difference[:, samples].sum()), resampled, points, level)
        answers.append(answer)
        start += seeds
    return answers


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


def _seeds_drawn(seeds: int, resamples: int, seed: int) -> np.ndarray:
    """How often each training seed is in each resample: int64[R, S]. Depends on nothing but the arguments."""
    return np.random.RandomState([seed, seeds]).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)


def _resampled_sums(
    values: np.ndarray, labels: np.ndarray, groups: Mapping[str, np.ndarray], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Sums of ``values`` int64[N, K] over each group's samples (bool[N]), resampled within classes: int64[R, K]."""
    # RandomState and not a Generator: its stream is frozen, so a committed leaderboard is the same under any numpy.
    random = np.random.RandomState(seed)
    sums = {name: np.zeros((resamples, values.shape[1]), dtype=np.int64) for name in groups}
    for label in np.unique(labels):
        of_class = labels == label
        rows = values[of_class].astype(np.float32)  # sums of small integers: exact
        holders = [name for name, samples in groups.items() if samples[of_class].any()]
        block = max(1, _BLOCK // len(rows))
        for start in range(0, resamples, block):
            drawn = _times_drawn(random, len(rows), min(block, resamples - start)) @ rows
            for name in holders:
                sums[name][start : start + len(drawn)] += drawn.astype(np.int64)
    return sums


def _times_drawn(random: np.random.RandomState, samples: int, resamples: int) -> np.ndarray:
    """How often each sample is in each resample: float32[R, n]."""
    drawn = random.randint(samples, size=(resamples, samples), dtype=np.min_scalar_type(samples - 1))
    flat = drawn + samples * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * samples).reshape(resamples, samples).astype(np.float32)


def _summary(observed: int, resampled: np.ndarray, points: float, level: float) -> Difference:
    """From sums of differences, one of which is worth ``points`` percentage points."""
    low, high = points * np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    smaller_side = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p = min(1.0, 2 * (smaller_side + 1) / (len(resampled) + 1))
    return Difference(points * observed, float(low), float(high), p)
