"""Accuracy on folds and the calibration error, each from its definition: in exact fractions, sample by sample."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.errors import DataError, UsageError
from ltbench.statistics.metrics import accuracy_from_counts, calibration_error, class_counts, fold_accuracy, implied_all

COUNTS = [100, 99, 20, 19, 1]
"""Of five classes: many, medium, medium, few, few by the paper's rule."""

GRID = 2**20
answers = st.lists(st.tuples(st.integers(0, GRID), st.booleans()), min_size=1, max_size=60)
"""(confidence in 1 / GRID, correct): confidences that float64 and a product with a number of bins hold exactly."""


def by_definition(confidence: Sequence[Fraction], correct: Sequence[bool], bins: int) -> Fraction:
    """Eq. 3 of Guo et al.: sum over bins of |B| / n times |accuracy - mean confidence|; an edge belongs to the bin above."""
    total = Fraction(0)
    for number in range(bins):
        last = number == bins - 1
        own = [
            (hit, sure)
            for sure, hit in zip(confidence, correct, strict=True)
            if Fraction(number, bins) <= sure and (sure <= 1 if last else sure < Fraction(number + 1, bins))
        ]
        if own:
            accuracy = Fraction(sum(hit for hit, _ in own), len(own))
            mean = sum(sure for _, sure in own) / len(own)
            total += Fraction(len(own), len(confidence)) * abs(accuracy - mean)
    return 100 * total


@given(answers, st.integers(1, 40))
def test_calibration_error_is_its_definition(answered: list[tuple[int, bool]], bins: int) -> None:
    confidence, correct = [Fraction(step, GRID) for step, _ in answered], [hit for _, hit in answered]
    expected = float(by_definition(confidence, correct, bins))
    assert calibration_error(np.array(confidence, dtype=float), np.array(correct), bins) == pytest.approx(expected)


@given(answers)
def test_calibration_error_has_fifteen_bins_by_default(answered: list[tuple[int, bool]]) -> None:
    confidence, correct = [Fraction(step, GRID) for step, _ in answered], [hit for _, hit in answered]
    expected = float(by_definition(confidence, correct, 15))
    assert calibration_error([float(sure) for sure in confidence], correct) == pytest.approx(expected)


def test_gaps_of_opposite_sign_do_not_cancel_across_bins() -> None:
    assert calibration_error([0.25, 0.75], [True, False], bins=2) == pytest.approx(75)
    assert calibration_error([0.25, 0.75], [True, False], bins=1) == 0


def test_gaps_of_opposite_sign_cancel_within_a_bin() -> None:
    assert calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, True, False], bins=4) == 0


@pytest.mark.parametrize(("sure", "expected"), [(0.5, 37.5), (np.nextafter(0.5, 0), 12.5)])
def test_an_edge_belongs_to_the_bin_above(sure: float, expected: float) -> None:
    """Beside a wrong answer at 0.25, a right one just below the edge at 0.5 makes up for it; one on the edge does not."""
    assert calibration_error([0.25, sure], [False, True], bins=2) == pytest.approx(expected)


@pytest.mark.parametrize("sure", [1.0, np.nextafter(1, 2)])
def test_certainty_falls_into_the_last_bin(sure: float) -> None:
    """exp of a log posterior in float32 may be a little above 1."""
    assert calibration_error([sure, sure], [True, True]) == pytest.approx(0)
    assert calibration_error([sure, sure], [True, False]) == pytest.approx(50)
    assert calibration_error([0.95, sure], [True, False]) == pytest.approx(100 * (0.95 + 1 - 1) / 2)


def test_single_precision_confidences_fall_where_their_value_lies() -> None:
    """float32(0.7) is below 0.7, but ten times it rounds to 7 in float32."""
    confidence = np.array([0.7, 0.75], dtype=np.float32)
    assert calibration_error(confidence, [True, False], bins=10) == pytest.approx(100 * (0.3 + 0.75) / 2, abs=1e-4)


def test_empty_bins_add_nothing() -> None:
    confidence, correct = [0.05, 0.55, 0.55], [False, True, False]
    assert calibration_error(confidence, correct, bins=10) == pytest.approx(100 * (0.05 + 2 * 0.05) / 3)
    assert calibration_error(confidence, correct, bins=1000) == pytest.approx(100 * (0.05 + 2 * 0.05) / 3)


classified = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)
"""(label, prediction) of each sample."""


@given(classified, st.sampled_from(["paper", "kang", "oltr"]))
def test_fold_accuracy_is_the_share_of_each_fold_s_samples(pairs: list[tuple[int, int]], rule: str) -> None:
    many, few = {"paper": (100, 19), "kang": (101, 19), "oltr": (100, 20)}[rule]
    fold = ["many" if count >= many else "few" if count <= few else "medium" for count in COUNTS]
    expected = {}
    for name in ("many", "medium", "few", "all"):
        hits = [label == predicted for label, predicted in pairs if name in ("all", fold[label])]
        if hits:
            expected[name] = 100 * sum(hits) / len(hits)
    found = fold_accuracy([predicted for _, predicted in pairs], [label for label, _ in pairs], COUNTS, rule)
    assert found == pytest.approx(expected)


def test_the_paper_s_folds_are_the_default() -> None:
    ones = np.ones(5, dtype=int)
    paper = {"many": 100.0, "medium": 50.0, "few": 0.0, "all": 40.0}
    assert accuracy_from_counts([1, 1, 0, 0, 0], ones, COUNTS) == pytest.approx(paper)
    assert fold_accuracy([0, 1, 0, 0, 0], [0, 1, 2, 3, 4], COUNTS) == pytest.approx(paper)


@given(classified)
def test_counts_of_each_class(pairs: list[tuple[int, int]]) -> None:
    labels, correct = np.array([label for label, _ in pairs]), [label == predicted for label, predicted in pairs]
    right, total = class_counts(np.array(correct), labels, 7)
    assert right.dtype == total.dtype == np.int64
    assert right.tolist() == [sum(hit for hit, own in zip(correct, labels, strict=True) if own == c) for c in range(7)]
    assert total.tolist() == [labels.tolist().count(c) for c in range(7)]


def test_hits_may_be_zeros_and_ones() -> None:
    right, total = class_counts(np.array([1, 0, 1]), np.array([0, 1, 1]), 2)
    assert (right.tolist(), total.tolist()) == ([1, 1], [1, 2])


@pytest.mark.parametrize(
    ("predictions", "labels", "complaint"),
    [
        ([0, 1], [0], r"equally long lists, got shapes \(2,\) and \(1,\)"),
        ([], [], "equally long"),
        ([[0, 1]], [[0, 1]], "equally long"),
        ([0, 0], [0, 5], r"label 5 or 0 is outside 0\.\.4"),
        ([0, 0], [-1, 0], r"label 0 or -1 is outside 0\.\.4"),
    ],
)
def test_what_is_no_prediction_of_each_label_is_refused(predictions: list, labels: list, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        fold_accuracy(predictions, labels, COUNTS)


def test_the_smallest_and_the_largest_class_are_classes() -> None:
    assert fold_accuracy([0, 4], [0, 4], COUNTS)["all"] == 100


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown fold rule 'papers'; known: paper, kang, oltr. Did you mean 'paper'"):
        fold_accuracy([0], [0], COUNTS, "papers")


def test_what_the_folds_imply_for_all_classes() -> None:
    accuracy, sizes = {"many": 60.0, "medium": 40.0, "few": 10.0}, {"many": 1, "medium": 2, "few": 5}
    assert implied_all(accuracy, sizes) == pytest.approx((60 + 2 * 40 + 5 * 10) / 8)
