"""The exact distribution of a class-stratified bootstrap's sum, and draws from it. numpy only.

A resample draws, within every class, as many samples as it has, with replacement; what is summed takes a few whole values. So
the number of draws of each value is multinomial within a class, and their sum over thousands of samples and classes has a
distribution on the whole numbers whose characteristic function is a product,

    phi(t) = prod_c ( sum_v p_cv exp(i v t) )^(n_c),        p_cv the share of value v among the n_c samples of class c.

Its inverse Fourier transform is the distribution itself. Drawing from that is drawing resamples, without drawing samples.
"""

import math
from functools import lru_cache

import numpy as np

_TAIL = 1e-9
"""Probability of sums that may be left out, far below what thousands of draws can show."""

_SMALLEST = 1e-9
"""Absolute value of phi below which it counts as zero."""

_CLASSES = 200
"""Classes looked at together: larger arrays leave the processor's cache, and memory is asked for anew for each."""


class Values:
    """What is summed of samples of P kinds: ``of_kinds`` int64[P]."""

    def __init__(self, of_kinds: np.ndarray) -> None:
        distinct, position = np.unique(of_kinds, return_inverse=True)
        self.unit = max(1, int(np.gcd.reduce(distinct)))
        self.distinct = distinct // self.unit
        """int64[V], in units."""
        self.of_kind = (position[:, None] == np.arange(len(distinct))).astype(np.float64)
        """Which kind has which value: 0 or 1 in float64[P, V]."""
        self.apart = np.abs(self.distinct[:, None] - self.distinct).ravel()
        """How far each two of them are apart, int64[V V]."""


class Resampled:
    """Resamples of classes whose samples are of P kinds: ``counts`` int64[C, P], at least one sample a class."""

    def __init__(self, counts: np.ndarray) -> None:
        sizes = counts.sum(axis=1)
        self._of_size = [(int(size), counts[sizes == size] / float(size)) for size in np.unique(sizes)]
        self._totals = counts.sum(axis=0).astype(np.float64)
        self._together = np.sum([size * (shares.T @ shares) for size, shares in self._of_size], axis=0)

    def drawn(self, values: Values, uniform: np.ndarray) -> np.ndarray:
        """One sum for each of ``uniform`` float64[R] in [0, 1), which says where in the distribution it lies: int64[R]."""
        first, probabilities = self.distribution(values)
        below = probabilities.cumsum()
        return values.unit * (first + np.searchsorted(below / below[-1], uniform, side="right"))

    def distribution(self, values: Values) -> tuple[int, np.ndarray]:
        """(smallest sum looked at, probabilities float64[M] of it and of the whole numbers after it), in units."""
        totals, distinct = self._totals @ values.of_kind, values.distinct
        together = values.of_kind.T @ self._together @ values.of_kind
        variance = totals @ distinct**2 - distinct @ together @ distinct
        length = _length(max(0.0, variance), int(values.apart.max()))
        first = round(totals @ distinct) - length // 2
        chosen = _not_negligible(np.bincount(values.apart, together.ravel()), length)
        angles = 2 * np.pi / length * chosen
        turns = np.exp(-1j * np.outer(distinct, angles))  # phi(-t), which numpy's inverse transform takes
        phi = np.zeros(length // 2 + 1, dtype=np.complex128)
        phi[chosen] = np.exp(1j * first * angles)
        for size, shares in self._of_size:
            phi[chosen] *= _product(shares @ values.of_kind, turns) ** size
        probabilities = np.fft.irfft(phi, length)
        return first, np.where(probabilities > _TAIL, probabilities, 0.0)


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
    surprise = math.log(2 / _TAIL)
    slack = span * surprise / 3
    least = 2 * (slack + math.sqrt(slack**2 + 2 * variance * surprise)) + 3
    step = 2 ** max(1, int(math.log2(least)) - 3)
    return step * math.ceil(least / step)


def _not_negligible(weights: np.ndarray, length: int) -> np.ndarray:
    """Numbers k of the frequencies 2 pi k / length at which phi may be larger than _SMALLEST: int64[K].

    By |sum_v p_v exp(ivt)|^2 = 1 - sum_uv p_u p_v (1 - cos (u - v) t) and log (1 - x) <= -x.

    Args:
        weights: float64[D], sum over the classes c of n_c p_cu p_cv over all pairs of values that are 0, 1, ... apart.
    """
    bound = -0.5 * weights @ _dips(len(weights), length)
    return np.flatnonzero(bound > math.log(_SMALLEST))


@lru_cache(maxsize=64)
def _dips(count: int, length: int) -> np.ndarray:
    """1 - cos(d t) for d = 0..count - 1 at t = 2 pi k / length, k = 0..length / 2: float64[count, length / 2 + 1]."""
    return 1 - np.cos(np.outer(np.arange(count), 2 * np.pi / length * np.arange(length // 2 + 1)))
