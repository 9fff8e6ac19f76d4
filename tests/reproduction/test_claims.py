"""Verdicts, margins and controls, against rows whose accuracies are known."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from results.records import outcomes, record

from ltbench.reproduction.claims import Claim, check_claim, check_controls
from ltbench.reproduction.outcomes import Differences, Outcomes, mean_accuracy, of_records
from ltbench.reproduction.spec import ClaimSpec, ControlsSpec
from ltbench.statistics.bootstrap import stratified_bootstrap

from .rows import DATA, rows


def check(measured: Mapping[str, Outcomes], ours: Sequence[str], others: Sequence[str], **changes: Any) -> Claim:
    values = {"id": "x", "text": "", "kind": "above", "rows": ours, "others": others, "folds": ["all"]}
    pairs = [(row, other) for row in ours for other in others]
    return check_claim(ClaimSpec(**values | changes), measured, DATA, Differences(measured, DATA, pairs))


def test_accuracies_are_means_and_deviations_over_the_seeds() -> None:
    row = of_records([record(accuracy=0.5, seed=0), record(accuracy=[0.9, 0.9, 0.5, 0.5, 0.1, 0.1], seed=1)])
    accuracy = mean_accuracy(row, DATA)
    assert astuple(accuracy["many"]) == pytest.approx((70.0, np.std([50, 90], ddof=1)))
    assert astuple(accuracy["few"]) == pytest.approx((30.0, np.std([50, 10], ddof=1)))
    assert astuple(accuracy["all"]) == pytest.approx((50.0, 0.0))


def test_a_clear_lead_holds_with_its_margin_over_the_closest() -> None:
    claim = check(rows({"a": 0.9, "near": 0.6, "far": 0.2}), ["a"], ["far", "near"])
    (margin,) = claim.margins
    assert (claim.verdict, claim.clear, claim.seeds) == ("holds", True, [0, 1])
    assert (margin.row, margin.other, margin.fold) == ("a", "near", "all")
    assert margin.difference.estimate == pytest.approx(30.0)
    assert 0 < margin.difference.low < 30 < margin.difference.high


def test_the_interval_is_the_paired_bootstrap_of_the_bits() -> None:
    measured = rows({"a": 0.7, "b": 0.5})
    margin = check(measured, ["a"], ["b"]).margins[0]
    bits = [np.stack([measured[name].correct[seed] for seed in (0, 1)]) for name in "ab"]
    assert margin.difference == stratified_bootstrap(*bits, DATA.labels, {"all": np.arange(6)})["all"]


def test_one_fold_that_is_not_above_refutes() -> None:
    measured = rows({"a": [1.0, 1.0, 0.5, 0.5, 0.0, 0.0], "b": 0.5})
    claim = check(measured, ["a"], ["b"], folds=["many", "medium", "few", "all"])
    leads = {margin.fold: margin.difference.estimate for margin in claim.margins}
    assert leads == pytest.approx({"many": 50.0, "medium": 0.0, "few": -50.0, "all": 0.0})
    assert (claim.verdict, claim.clear) == ("does not hold", True)


def test_each_of_several_rows_must_be_above_each_other() -> None:
    measured = rows({"a": 0.9, "b": 0.5, "c": 0.6})
    claim = check(measured, ["a", "b"], ["c"])
    assert claim.verdict == "does not hold"
    assert (claim.margins[0].row, claim.margins[0].other) == ("b", "c")


@pytest.mark.parametrize(("or_equal", "verdict"), [(True, "holds"), (False, "does not hold")])
def test_a_tie_is_no_worse_and_not_above(or_equal: bool, verdict: str) -> None:
    claim = check(rows({"a": 0.5, "b": 0.5}), ["a"], ["b"], or_equal=or_equal)
    assert (claim.verdict, claim.clear) == (verdict, False)


def test_a_lead_within_its_interval_is_not_clear() -> None:
    other_samples = of_records([record(correct=outcomes(0.55, seed=7 + seed), seed=seed) for seed in (0, 1)])
    claim = check({"a": other_samples} | rows({"b": 0.5}), ["a"], ["b"])
    assert (claim.verdict, claim.clear) == ("holds", False)


def test_only_seeds_of_both_are_compared() -> None:
    measured = rows({"a": 0.9}) | rows({"b": 0.5}, seeds=[1, 2])
    assert check(measured, ["a"], ["b"]).seeds == [1]


def test_what_was_not_measured_is_not_tested() -> None:
    claim = check(rows({"a": 0.9}), ["a"], ["gone"])
    assert (claim.verdict, claim.missing, claim.margins) == ("not tested", ["gone"], [])
    apart = rows({"a": 0.9}, seeds=[0]) | rows({"b": 0.5}, seeds=[1])
    assert check(apart, ["a"], ["b"]).verdict == "not tested"


@pytest.mark.parametrize(("points", "verdict"), [(30.0, "holds"), (29.0, "does not hold")])
def test_a_spread_is_between_the_highest_and_the_lowest_fold(points: float, verdict: str) -> None:
    measured = rows({"a": [0.8, 0.8, 0.5, 0.5, 0.6, 0.6]})
    claim = check(measured, ["a"], [], kind="spread", folds=["many", "medium", "few"], points=points)
    assert claim.spread == pytest.approx(30.0)
    assert claim.verdict == verdict


def controlled(measured: Mapping[str, Outcomes], controls: tuple[str, ...]) -> Any:
    spec = ControlsSpec(ensemble="ensemble", controls=controls)
    pairs = [("ensemble", control) for control in controls]
    return check_controls(spec, measured, DATA, Differences(measured, DATA, pairs))


def test_an_ensemble_is_held_against_its_best_control() -> None:
    found = controlled(rows({"ensemble": 0.6, "weak": 0.2, "strong": 0.8}), ("weak", "strong", "gone"))
    assert (found.best, found.above, found.clear, found.missing) == ("strong", False, True, ["gone"])
    estimates = {name: difference.estimate for name, difference in found.differences.items()}
    assert estimates == pytest.approx({"weak": 40.0, "strong": -20.0})


def test_an_ensemble_above_all_its_controls_is_above_its_best() -> None:
    found = controlled(rows({"ensemble": 0.9, "weak": 0.2, "strong": 0.5}), ("weak", "strong"))
    assert (found.best, found.above, found.clear) == ("strong", True, True)


def test_without_controls_nothing_is_best() -> None:
    found = controlled(rows({"ensemble": 0.9}), ("gone",))
    assert (found.best, found.above, found.missing) == ("", False, ["gone"])
