"""The exact distribution of a class-stratified bootstrap's sum, and draws from it. numpy only.

A resample draws, within every class, as many samples as it has, with replacement; what is summed takes a few whole values. So
the number of draws of each value is multinomial within a class, and their sum over thousands of samples and classes has a
distribution on the whole numbers whose characteristic function is a product,

    phi(t) = prod_c ( sum_v p_cv exp(i v t) )^(n_c),        p_cv the share of value v among the n_c samples of class c.

Its inverse Fourier transform is the distribution itself. Drawing from that is drawing resamples, without drawing samples.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_TAIL = 1e-9
"""Probability of sums that may be left out, far below what thousands of draws can show."""

_SMALLEST = 1e-9
"""Absolute value of phi below which it counts as zero."""

_CLASSES = 200
"""Classes looked at together: larger arrays leave the processor's cache, and memory is asked for anew for each."""


Shares = Sequence[tuple[int, np.ndarray]]
"""For each number of samples that classes have: that number, and float64[C, V], the share of each value in each such class."""


def drawn_sums(classes: Shares, values: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One sum for each of ``uniform`` float64[R] in [0, 1), which says where in the distribution it lies: int64[R].

    ``classes`` and ``values`` as in :func:`distribution`.
    """
    unit = max(1, int(np.gcd.reduce(values)))
    first, probabilities = distribution(classes, values // unit)
    below = probabilities.cumsum()
    return unit * (first + np.searchsorted(below / below[-1], uniform, side="right"))


def distribution(classes: Shares, values: np.ndarray) -> tuple[int, np.ndarray]:
    """(smallest sum looked at, probabilities float64[M] of it and of the whole numbers after it); ``values`` int64[V]."""
    means = [shares @ values for _, shares in classes]
    centre = round(sum(size * own.sum() for (size, _), own in zip(classes, means, strict=True)))
    variances = ((shares @ values**2).sum() - own @ own for (_, shares), own in zip(classes, means, strict=True))
    variance = sum(size * own for (size, _), own in zip(classes, variances, strict=True))
    length = _length(max(0.0, variance), int(np.ptp(values)))
    chosen = _not_negligible(classes, values - values.min(), length)
    angles = 2 * np.pi / length * chosen
    turns = np.exp(-1j * np.outer(values, angles))  # phi(-t), which numpy's inverse transform takes
    phi = np.zeros(length // 2 + 1, dtype=np.complex128)
    phi[chosen] = np.exp(1j * centre * angles)
    for size, shares in classes:
        phi[chosen] *= _product(shares, turns) ** size
    probabilities = np.roll(np.fft.irfft(phi, length), length // 2)
    return centre - length // 2, np.where(probabilities > _TAIL, probabilities, 0.0)


def _product(shares: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """prod_c sum_v p_cv exp(-i v t): complex128[K], from p float64[C, V] and exp(-i v t) complex128[V, K]."""
    total = np.ones(turns.shape[1], dtype=np.complex128)
    for start in range(0, len(shares), _CLASSES):
        of_classes = shares[start : start + _CLASSES] @ turns.view(np.float64)  # real and imaginary parts side by side
        total *= of_classes.view(np.complex128).prod(axis=0)
    return total


def _length(variance: float, span: int) -> int:
    """How many whole numbers to look at, for draws whose largest and smallest value are ``span`` apart: one of few lengths.

    By Bernstein's inequality a sum is farther from its mean than half of that with probability ``_TAIL`` at most.
    """
    surprise = np.log(2 / _TAIL)
    slack = span * surprise / 3
    least = 2 * (slack + np.sqrt(slack**2 + 2 * variance * surprise)) + 3
    step = 2 ** max(1, int(np.log2(least)) - 3)
    return step * int(np.ceil(least / step))


def _not_negligible(classes: Shares, steps: np.ndarray, length: int) -> np.ndarray:
    """Numbers k of the frequencies 2 pi k / length at which phi may be larger than _SMALLEST: int64[K].

    By |sum_v p_v exp(ivt)|^2 = 1 - sum_uv p_u p_v (1 - cos (u - v) t) and log (1 - x) <= -x.
    """
    together = np.sum([size * (shares.T @ shares) for size, shares in classes], axis=0)
    apart = np.abs(steps[:, None] - steps)
    weights = np.bincount(apart.ravel(), together.ravel(), int(steps.max()) + 1)
    bound = -0.5 * weights @ _dips(len(weights), length)
    return np.flatnonzero(bound > np.log(_SMALLEST))


@lru_cache(maxsize=64)
def _dips(count: int, length: int) -> np.ndarray:
    """1 - cos(d t) for d = 0..count - 1 at t = 2 pi k / length, k = 0..length / 2: float64[count, length / 2 + 1]."""
    return 1 - np.cos(np.outer(np.arange(count), 2 * np.pi / length * np.arange(length // 2 + 1)))
