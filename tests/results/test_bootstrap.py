"""Paired tests against independent computations: index resampling, scipy, closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from ltbench.errors import DataError
from ltbench.statistics.bootstrap import Difference, holm, mcnemar, stratified_bootstrap, stratified_bootstraps

LABELS = np.repeat(np.arange(4), [30, 20, 25, 15])
GROUPS = {"many": np.array([0, 1]), "few": np.array([2, 3]), "none": np.array([], dtype=int), "all": np.arange(4)}


def two_classifiers(seeds: int, gain: float = 0.15, rng: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """bool[S, 90] twice; they agree on most samples, and A is right more often."""
    random = np.random.default_rng(rng)
    b = random.random((seeds, len(LABELS))) < 0.5
    flipped = random.random(b.shape) < 0.3
    return np.where(flipped, random.random(b.shape) < 0.5 + gain, b), b


def by_resampling_indices(a: np.ndarray, b: np.ndarray, resamples: int = 20_000) -> dict[str, np.ndarray]:
    """The resampled differences, drawn sample by sample and seed by seed: what the definition says, slowly."""
    random = np.random.default_rng(1)
    difference = 100.0 * (a.astype(float) - b.astype(float))
    drawn: dict[str, list[float]] = {name: [] for name in GROUPS}
    for _ in range(resamples):
        seeds = random.integers(len(a), size=len(a))
        picked = {c: random.choice(np.flatnonzero(c == LABELS), size=(c == LABELS).sum()) for c in range(4)}
        for name, classes in GROUPS.items():
            if len(classes):
                positions = np.concatenate([picked[c] for c in classes])
                drawn[name].append(difference[seeds][:, positions].mean())
    return {name: np.array(values) for name, values in drawn.items() if values}


@pytest.mark.parametrize("seeds", [1, 3, 6])
def test_bootstrap_agrees_with_resampling_indices(seeds: int) -> None:
    a, b = two_classifiers(seeds)
    found = stratified_bootstrap(a, b, LABELS, GROUPS)
    expected = by_resampling_indices(a, b, resamples=4000)
    assert set(found) == {"many", "few", "all"}
    for name, drawn in expected.items():
        own = np.isin(LABELS, GROUPS[name])
        close = 0.1 * drawn.std() + 1.01 * 100 / (seeds * own.sum())  # the statistic takes whole steps
        assert found[name].estimate == pytest.approx(100 * (a[:, own].mean() - b[:, own].mean()))
        assert found[name].low == pytest.approx(np.quantile(drawn, 0.025), abs=close)
        assert found[name].high == pytest.approx(np.quantile(drawn, 0.975), abs=close)
        assert found[name].p == pytest.approx(min(1, 2 * min((drawn <= 0).mean(), (drawn >= 0).mean())), abs=0.03)


def test_bootstrap_of_one_class_agrees_with_scipy() -> None:
    a, b = (side[0, :30] for side in two_classifiers(1))
    found = stratified_bootstrap(a, b, np.zeros(30, dtype=int), {"all": np.array([0])})["all"]
    expected = scipy_stats.bootstrap(
        (a.astype(float), b.astype(float)),
        lambda x, y, axis: 100 * (x.mean(axis=axis) - y.mean(axis=axis)),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    step = 100 / 30  # the statistic takes whole steps, so two runs may be one apart
    assert found.low == pytest.approx(expected.low, abs=1.01 * step)
    assert found.high == pytest.approx(expected.high, abs=1.01 * step)


def test_stratification_keeps_differences_between_classes_out_of_the_interval() -> None:
    """A is right on all of class 0 and B on all of class 1: nothing varies within a class."""
    labels = np.repeat([0, 1], 50)
    found = stratified_bootstrap(labels == 0, labels == 1, labels, {"all": np.array([0, 1]), "first": np.array([0])})
    assert found["all"] == Difference(0.0, 0.0, 0.0, 1.0)
    assert found["first"] == Difference(100.0, 100.0, 100.0, pytest.approx(2 / 10_001))


def test_seeds_that_disagree_widen_the_interval() -> None:
    """Seed 0 is better by 20 points and seed 1 worse by 20: the average is 0, one sure sign would be a mistake."""
    better = np.tile([True] * 6 + [False] * 4, 100)
    worse = np.tile([True] * 4 + [False] * 6, 100)
    labels = np.zeros(1000, dtype=int)
    found = stratified_bootstrap(np.stack([better, worse]), np.stack([worse, better]), labels, {"all": np.array([0])})[
        "all"
    ]
    assert found.estimate == 0
    assert found.low < -18
    assert found.high > 18
    assert found.p > 0.5


def test_same_classifier_differs_by_nothing() -> None:
    a, _ = two_classifiers(2)
    assert stratified_bootstrap(a, a, LABELS, GROUPS)["all"] == Difference(0.0, 0.0, 0.0, 1.0)


def test_exchanging_the_classifiers_changes_the_sign() -> None:
    a, b = two_classifiers(2)
    forth = stratified_bootstrap(a, b, LABELS, GROUPS)["all"]
    back = stratified_bootstrap(b, a, LABELS, GROUPS)["all"]
    assert back.estimate == -forth.estimate
    assert back.low == pytest.approx(-forth.high, abs=1.5)
    assert back.p == pytest.approx(forth.p, abs=0.02)


def test_bootstrap_repeats_for_a_seed() -> None:
    a, b = two_classifiers(3)
    assert stratified_bootstrap(a, b, LABELS, GROUPS) == stratified_bootstrap(a, b, LABELS, GROUPS)
    assert stratified_bootstrap(a, b, LABELS, GROUPS) != stratified_bootstrap(a, b, LABELS, GROUPS, seed=1)


FROZEN = [
    (256, 25, -1.7187499999999987, 8.59375),
    (257, 25, -3.424124513618676, 11.206225680933851),
    (9091, 25, 2.5233747662523376, 5.286547134528654),
    (50003, 3, 4.008159510429374, 4.21524708517489),
    (100001, 3, 3.8882111178888215, 4.257757422425776),
]


@pytest.mark.parametrize(("samples", "resamples", "low", "high"), FROZEN)
def test_the_stream_of_many_seeds_is_frozen(samples: int, resamples: int, low: float, high: float) -> None:
    """Committed leaderboards hold such numbers: draws of another type or in other blocks would change them all."""
    labels = np.zeros(samples, dtype=int)
    a, b = (np.tile(side, (6, 1)) for side in (np.arange(samples) % 3 > 0, np.arange(samples) % 8 > 2))
    found = stratified_bootstrap(a, b, labels, {"all": np.array([0])}, resamples=resamples)["all"]
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize(
    ("seeds", "samples", "low", "high"),
    [
        (1, 256, 14.84375, 23.4375),
        (2, 1000, 11.200000000000001, 20.5),
        (3, 5001, 9.111511031127108, 18.676764647070584),
        (5, 300, 5.5983333333333345, 15.4),
    ],
)
def test_the_stream_of_few_seeds_is_frozen(seeds: int, samples: int, low: float, high: float) -> None:
    labels = np.arange(samples) % 3
    a, b = (np.stack([np.arange(samples) % (k + s) > 0 for s in range(seeds)]) for k in (7, 3))
    found = stratified_bootstrap(a, b, labels, {"all": np.arange(3)}, resamples=1000)["all"]
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_few_seeds_and_many_are_resampled_alike(seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the distribution of the sums, and by drawing samples: 20,000 resamples each."""
    a, b = two_classifiers(seeds, gain=0.02)
    few = stratified_bootstrap(a, b, LABELS, GROUPS, resamples=20_000)
    monkeypatch.setattr("ltbench.statistics.bootstrap._FEW_SEEDS", 0)
    many = stratified_bootstrap(a, b, LABELS, GROUPS, resamples=20_000)
    assert few != many
    for name, one in few.items():
        step = 1.01 * 100 / (seeds * np.isin(LABELS, GROUPS[name]).sum())
        close = 0.03 * (one.high - one.low) + step
        assert (one.low, one.high) == pytest.approx((many[name].low, many[name].high), abs=close)
        assert one.p == pytest.approx(many[name].p, abs=0.02)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_interval_of_many_samples_is_the_normal_distribution_s(level: float) -> None:
    random = np.random.default_rng(0)
    a, b = random.random(5000) < 0.7, random.random(5000) < 0.6
    labels = np.repeat([0, 1], [3000, 2000])
    found = stratified_bootstrap(a, b, labels, {"all": np.array([0, 1])}, level=level)["all"]
    difference = a.astype(float) - b
    variance = sum((labels == c).sum() * difference[labels == c].var() for c in (0, 1)) / 5000**2
    width = scipy_stats.norm.ppf((1 + level) / 2) * 100 * variance**0.5
    assert [found.low, found.high] == pytest.approx([found.estimate - width, found.estimate + width], abs=0.06)


def test_the_number_of_resamples_bounds_p() -> None:
    labels = np.zeros(50, dtype=int)
    sure = [
        stratified_bootstrap(labels == 0, labels == 1, labels, {"all": np.array([0])}, resamples=resamples)["all"].p
        for resamples in (99, 199)
    ]
    assert sure == pytest.approx([2 / 100, 2 / 200])


def test_several_pairs_at_once_give_what_each_gives_alone() -> None:
    pairs = [two_classifiers(3), two_classifiers(1, rng=1), two_classifiers(3, gain=-0.1, rng=2)]
    together = stratified_bootstraps(pairs, LABELS, GROUPS)
    assert together == [stratified_bootstrap(a, b, LABELS, GROUPS) for a, b in pairs]
    assert stratified_bootstraps([], LABELS, GROUPS) == []


def test_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    """400 test sets drawn from known outcome probabilities: the 90 % interval misses about 10 % of the time."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 100)
    right_a, right_b = np.array([0.9, 0.6, 0.5, 0.3])[labels], np.array([0.8, 0.6, 0.3, 0.3])[labels]
    truth = 100 * (right_a - right_b).mean()
    covered = 0
    for trial in range(400):
        a, b = random.random(400) < right_a, random.random(400) < right_b
        groups = {"all": np.arange(4)}
        found = stratified_bootstrap(a, b, labels, groups, resamples=500, level=0.9, seed=trial)["all"]
        covered += found.low <= truth <= found.high
    assert 0.86 < covered / 400 < 0.94


@pytest.mark.parametrize(
    ("a", "b", "labels"),
    [
        (np.ones(3, bool), np.ones(4, bool), np.zeros(3, int)),
        (np.ones((2, 3), bool), np.ones((1, 3), bool), np.zeros(3, int)),
        (np.ones(3, bool), np.ones(3, bool), np.zeros(4, int)),
        (np.ones(0, bool), np.ones(0, bool), np.zeros(0, int)),
    ],
)
def test_unpaired_input_is_refused(a: np.ndarray, b: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="same seeds and samples"):
        stratified_bootstrap(a, b, labels, {"all": np.array([0])})


def test_holm_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04; the last is raised to the third."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([0.04]) == pytest.approx([0.04])
    assert len(holm([])) == 0
    assert holm(np.array([0.01, 0.2], dtype=np.float32)).dtype == np.float64


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], level: float) -> None:
    corrected = holm(p_values)
    rejected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] * (len(p_values) - step) > level:
            break
        rejected.add(index)
    assert {int(index) for index in np.flatnonzero(corrected <= level)} == rejected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_agrees_with_the_binomial_test(only_a: int, only_b: int) -> None:
    a = np.array([True] * only_a + [False] * only_b + [True] * 5 + [False] * 3)
    b = np.array([False] * only_a + [True] * only_b + [True] * 5 + [False] * 3)
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b) == (only_a, only_b)
    expected = scipy_stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert found.p == pytest.approx(expected)


def test_mcnemar_refuses_other_lengths() -> None:
    with pytest.raises(DataError, match="equally long"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))
