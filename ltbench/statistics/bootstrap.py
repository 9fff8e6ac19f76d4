"""Paired comparisons of classifiers on one test set. numpy and scipy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ltbench.errors import DataError
from ltbench.statistics.resampled_sums import Resampled, Values

_BLOCK = 100_000
"""Draws made at once: bounds the memory. Part of the stream: another value draws other resamples."""

_FEW_SEEDS = 5
"""Up to so many seeds there are few ways (126) to draw seeds, and the distribution of the sum is computed for each of them."""


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
    """:func:`stratified_bootstrap` of several pairs."""
    differences = [_paired_difference(a, b, labels) for a, b in pairs]
    if not differences:
        return []
    own = {name: np.isin(labels, classes) for name, classes in groups.items() if np.isin(labels, classes).any()}
    classes = np.unique(labels, return_inverse=True)[1]
    members = {name: np.unique(classes[samples]) for name, samples in own.items()}
    many = [difference for difference in differences if len(difference) > _FEW_SEEDS]
    sums = iter(_sums_sample_by_sample(many, classes, own, resamples, seed))
    answers = []
    for difference in differences:
        few = len(difference) <= _FEW_SEEDS
        resampled = _sums_from_distributions(difference, classes, members, resamples, seed) if few else next(sums)
        observed = difference.sum(axis=0, dtype=np.int64)
        answer = {}
        for name, samples in own.items():
            points = 100 / (len(difference) * int(samples.sum()))
            answer[name] = _summary(int(observed[samples].sum()), resampled[name], points, level)
        answers.append(answer)
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
    """int8[S, N] in -1, 0, 1."""
    a, b = np.atleast_2d(np.asarray(correct_a, dtype=bool)), np.atleast_2d(np.asarray(correct_b, dtype=bool))
    if a.shape != b.shape or a.ndim != 2 or a.shape[1:] != np.shape(labels) or not a.size:
        raise DataError(
            "a paired comparison needs the same seeds and samples, "
            f"got shapes {a.shape} and {b.shape} for labels {np.shape(labels)}."
        )
    return a.astype(np.int8) - b.astype(np.int8)


def _seeds_drawn(seeds: int, resamples: int, seed: int) -> np.ndarray:
    """How often each training seed is in each resample: int64[R, S]. Depends on nothing but the arguments."""
    return np.random.RandomState([seed, seeds]).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)


def _sums_from_distributions(
    difference: np.ndarray, classes: np.ndarray, groups: Mapping[str, np.ndarray], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Resampled sums of ``difference`` int8[S, N] over samples and drawn seeds, for each group of classes (int64[K]): int64[R].

    Samples of one class with the same differences are alike, and for drawn seeds those with the same sum.
    """
    count = 3 ** len(difference)
    codes = classes * count
    for power, own in enumerate(difference[::-1]):
        codes += (own + 1).astype(np.uint8) * np.uint8(3**power)
    cells = np.bincount(codes, minlength=(int(classes.max()) + 1) * count)
    alike = {name: Resampled(cells.reshape(-1, count)[own]) for name, own in groups.items()}
    sums = {name: np.empty(resamples, dtype=np.int64) for name in groups}
    for way in _ways(len(difference), resamples, seed):
        for name, resampled in alike.items():
            sums[name][way.resamples] = resampled.drawn(way.values, way.uniform)
    return sums


@dataclass(frozen=True)
class _Way:
    """One way in which seeds are drawn.

    Attributes:
        resamples: those that draw them so, int64[R'].
        uniform: where in the distribution of its sums each of them lies, float64[R'].
        values: the sums over the drawn seeds that samples of each of the 3^S patterns of differences have.
    """

    resamples: np.ndarray
    uniform: np.ndarray
    values: Values


@lru_cache(maxsize=16)
def _ways(seeds: int, resamples: int, seed: int) -> list[_Way]:
    patterns = np.stack(np.unravel_index(np.arange(3**seeds), (3,) * seeds)) - 1
    drawn, way = np.unique(_seeds_drawn(seeds, resamples, seed), axis=0, return_inverse=True)
    # RandomState and not a Generator: its stream is frozen, so a committed leaderboard is the same under any numpy.
    uniform = np.sort(np.random.RandomState(seed).random_sample(resamples))
    found = []
    for number, times in enumerate(drawn):
        own = np.flatnonzero(way.ravel() == number)
        found.append(_Way(own, uniform[own], Values(times @ patterns)))
    return found


def _sums_sample_by_sample(
    differences: Sequence[np.ndarray],
    classes: np.ndarray,
    groups: Mapping[str, np.ndarray],
    resamples: int,
    seed: int,
) -> list[dict[str, np.ndarray]]:
    """For each of ``differences`` int8[S, N] what :func:`_sums_from_distributions` gives, by drawing the samples of each group
    (bool[N])."""
    if not differences:
        return []
    sums = _resampled_sums(np.concatenate(differences).T, classes, groups, resamples, seed)
    answers, start = [], 0
    for difference in differences:
        end = start + len(difference)
        times_drawn = _seeds_drawn(len(difference), resamples, seed)
        answers.append({name: (found[:, start:end] * times_drawn).sum(axis=1) for name, found in sums.items()})
        start = end
    return answers


def _resampled_sums(
    values: np.ndarray, labels: np.ndarray, groups: Mapping[str, np.ndarray], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Sums of ``values`` int8[N, K] over each group's samples (bool[N]), resampled within classes: int64[R, K]."""
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
