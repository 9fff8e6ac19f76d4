import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.data.carving import carve, exponential_counts, imbalanced
from ltbench.errors import UsageError

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(lambda values: np.array(values, dtype=np.int64))
SEEDS = st.integers(0, 2**32)


def balanced(num_classes: int, each: int) -> np.ndarray:
    return np.arange(num_classes * each) % num_classes


@pytest.mark.parametrize(
    ("num_classes", "each", "sizes"),
    [
        (10, 5000, {10: 20_431, 50: 13_996, 100: 12_406, 200: 11_203}),
        (100, 500, {10: 19_573, 50: 12_608, 100: 10_847, 200: 9_502}),
    ],
)
def test_the_sizes_are_those_of_cifar_lt_in_the_literature(num_classes: int, each: int, sizes: dict[int, int]) -> None:
    labels = balanced(num_classes, each)
    for factor, size in sizes.items():
        used = imbalanced(labels, factor, seed=0)
        counts = np.bincount(labels[used])
        assert len(used) == size
        assert counts[0] == each
        assert counts[-1] == each // factor
        assert (np.diff(counts) <= 0).all()


@given(LABELS, st.integers(0, 12), SEEDS)
def test_carving_holds_out_up_to_half_of_each_class(labels: np.ndarray, per_class: int, seed: int) -> None:
    kept, held_out = carve(labels, per_class, seed)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert (np.diff(kept) > 0).all() and (np.diff(held_out) > 0).all()
    for label in range(6):
        has = int(np.sum(labels == label))
        assert int(np.sum(labels[held_out] == label)) == min(per_class, has // 2)


@given(LABELS, SEEDS, st.integers(0, 5))
def test_a_class_is_carved_without_regard_to_the_others(labels: np.ndarray, seed: int, label: int) -> None:
    own = np.flatnonzero(labels == label)
    alone = np.concatenate([labels[own], np.full(7, 5 - label)])
    expected = {position for position in carve(labels, 3, seed)[1] if labels[position] == label}
    assert {own[position] for position in carve(alone, 3, seed)[1] if position < len(own)} == expected


@given(LABELS, SEEDS)
def test_a_smaller_draw_is_part_of_a_larger_one(labels: np.ndarray, seed: int) -> None:
    assert set(carve(labels, 2, seed)[1]) <= set(carve(labels, 5, seed)[1])
    largest = int(np.bincount(labels).max())
    factor = 1 + (largest - 1) / 2
    assert set(imbalanced(labels, largest, seed)) <= set(imbalanced(labels, factor, seed))


@given(LABELS, SEEDS, st.floats(1, 60), st.integers(1, 40) | st.none())
def test_a_long_tailed_sample(labels: np.ndarray, seed: int, factor: float, largest: int | None) -> None:
    has = np.bincount(labels)
    top = int(has.max()) if largest is None else largest
    if factor > top:
        with pytest.raises(UsageError, match=f"at most {top}"):
            imbalanced(labels, factor, seed, largest)
        return
    used = imbalanced(labels, factor, seed, largest)
    assert (np.diff(used) > 0).all()
    counts = np.bincount(labels[used], minlength=len(has))
    exact = top * factor ** -np.linspace(0, 1, len(has))
    assert (counts <= np.minimum(has, exact + 1e-9)).all()
    assert (counts > np.minimum(has, exact - 1 - 1e-9) - 1e-9).all()


def test_each_class_of_each_draw_has_the_stream_of_its_name() -> None:
    """A committed record names its split by the seed: seed, 0 for held out or 1 for long-tailed, class."""
    labels = balanced(2, 20)
    held_out, used = [], []
    for label, out, kept in ((0, 8, 20), (1, 8, 10)):
        own = np.flatnonzero(labels == label)
        held_out += np.random.default_rng([7, 0, label]).permutation(own)[:out].tolist()
        used += np.random.default_rng([7, 1, label]).permutation(own)[:kept].tolist()
    assert carve(labels, 8, 7)[1].tolist() == sorted(held_out)
    assert imbalanced(labels, 2, 7).tolist() == sorted(used)


def test_other_seeds_draw_other_images() -> None:
    labels = balanced(4, 50)
    assert not np.array_equal(carve(labels, 10, 0)[1], carve(labels, 10, 1)[1])
    assert not np.array_equal(imbalanced(labels, 10, 0), imbalanced(labels, 10, 1))


def test_every_image_is_held_out_equally_often() -> None:
    labels = np.zeros(10, dtype=np.int64)
    held_out = np.concatenate([carve(labels, 3, seed)[1] for seed in range(1000)])
    assert np.abs(np.bincount(held_out) - 300).max() < 75  # five standard deviations of a binomial(1000, 0.3) are 72


def test_the_smallest_class_keeps_its_last_image_where_rounding_would_take_it() -> None:
    assert int(49 * (1 / 49)) == 0
    assert exponential_counts(2, 49, 49).tolist() == [49, 1]


def test_one_class_keeps_all() -> None:
    assert exponential_counts(1, 8, 4).tolist() == [8]


def test_a_factor_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        imbalanced(balanced(3, 5), 0.5, seed=0)
