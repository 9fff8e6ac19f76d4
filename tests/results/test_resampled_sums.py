"""The distribution of resampled sums against convolution, closed forms and drawing the samples."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ltbench.statistics.resampled_sums import Resampled, Values


def distribution_of(counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sums, their probabilities)."""
    of_kinds = Values(values)
    first, probabilities = Resampled(counts).distribution(of_kinds)
    return of_kinds.unit * (first + np.arange(len(probabilities))), probabilities


def convolved(counts: np.ndarray, values: np.ndarray) -> dict[int, float]:
    """Sum -> probability: one sample after the other is added, as its class has them."""
    low = int(values.min())
    of_classes = []
    for row in counts.astype(int):
        one = np.zeros(int(values.max()) - low + 1)
        np.add.at(one, values - low, row / row.sum())
        of_classes += [one] * int(row.sum())
    return {int(counts.sum()) * low + place: p for place, p in enumerate(reduce(np.convolve, of_classes))}


CASES = st.integers(1, 5).flatmap(
    lambda wide: st.tuples(
        arrays(np.int64, st.tuples(st.integers(1, 6), st.just(wide)), elements=st.integers(0, 6)),
        st.lists(st.integers(-5, 5), min_size=wide, max_size=wide),
    )
)


@settings(max_examples=80, deadline=None)
@given(CASES)
def test_distribution_is_the_convolution(case: tuple[np.ndarray, list[int]]) -> None:
    counts, values = case[0], np.array(case[1])
    counts[counts.sum(axis=1) == 0, 0] = 1
    expected = convolved(counts, values)
    for total, probability in zip(*distribution_of(counts, values), strict=True):
        assert probability == pytest.approx(expected.pop(int(total), 0.0), abs=2e-9)
    assert sum(expected.values()) < 1e-8


@pytest.mark.parametrize("size", [1, 3, 50, 400])
def test_mean_and_variance_of_many_classes(size: int) -> None:
    random = np.random.default_rng(size)
    shares = random.dirichlet([0.3] * 7, size=300)
    counts = np.stack([random.multinomial(size, own) for own in shares])
    values = np.arange(-3, 4)
    sums, found = distribution_of(counts, values)
    mean = (counts @ values).sum()
    variance = sum(size * np.repeat(values, row.astype(int)).var() for row in counts)
    assert found.sum() == pytest.approx(1, abs=1e-6)
    assert found @ sums == pytest.approx(mean, abs=1e-3)
    assert found @ (sums - mean) ** 2 == pytest.approx(variance, rel=1e-4, abs=1e-9)


def test_draws_are_those_of_samples_drawn() -> None:
    """Classes of different sizes; 20,000 multinomial draws of each class, summed."""
    random = np.random.default_rng(0)
    counts = np.stack([random.multinomial(size, [0.1, 0.7, 0.2]) for size in (5, 30, 30, 80, 200)])
    values, draws = np.array([-1, 0, 1]), 20_000
    found = Resampled(counts).drawn(Values(values), random.random(draws))
    expected = sum(random.multinomial(int(row.sum()), row / row.sum(), size=draws) @ values for row in counts)
    for sums in (found, expected):
        assert abs(sums.mean() - (counts @ values).sum()) < 4 * expected.std() / draws**0.5
    both = np.union1d(found, expected)
    below = [np.searchsorted(np.sort(sums), both, side="right") / draws for sums in (found, expected)]
    assert np.abs(below[0] - below[1]).max() < 1.95 * (2 / draws) ** 0.5  # Kolmogorov and Smirnov, p about 0.001


def test_only_sums_that_can_be_are_drawn() -> None:
    everywhere = np.linspace(0, 1, 5000, endpoint=False)
    sums = Resampled(np.array([[4, 5, 6], [3, 3, 3]])).drawn(Values(np.array([-3, 0, 3])), everywhere)
    assert set(sums % 3) == {0}
    assert (np.diff(sums) >= 0).all()
    ends = np.array([0.0, 0.5, 1 - 2**-53])
    assert set(Resampled(np.array([[0, 7], [2, 0]])).drawn(Values(np.array([-1, 4])), ends)) == {26}
