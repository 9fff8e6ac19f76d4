"""Published rows: how a file of them is read, and what of a row can be checked."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltbench.data.folds import FOLDS
from ltbench.errors import DataError
from ltbench.reproduction.reported import reported_tables
from ltbench.results.reported import FoldCheck, Reported
from ltbench.results.store import load_reported

RESULTS = Path(__file__).parents[2] / "results"

SIZES = {
    "paper": {"many": 391, "medium": 473, "few": 136},
    "kang": {"many": 385, "medium": 479, "few": 136},
    "oltr": {"many": 391, "medium": 463, "few": 146},
}
"""Of ImageNet-LT."""

ROW = {
    "method": "Baseline",
    "accuracy": {"many": 54.3, "medium": 26.2, "few": 5.7, "all": 34.4},
    "fold_rule": "paper",
    "reference": "Sharma et al. 2020, Table 8",
}

KL = {"accuracy": {"many": 25.3, "medium": 20.5, "few": 39.1, "all": 21.9}}
"""Table 6: the paper's own row that contradicts itself."""


def write(tmp_path: Path, row: dict[str, Any] | None = None, **changes: Any) -> Path:
    path = tmp_path / "reported.json"
    path.write_text(json.dumps({"dataset": "toy-lt", "fold_sizes": SIZES, "rows": [ROW | (row or {})]} | changes))
    return path


def checked(tmp_path: Path, row: dict[str, Any], **changes: Any) -> FoldCheck | None:
    (file,) = load_reported(write(tmp_path, row, **changes).parent)
    return file.check(file.rows[0])


def test_all_is_what_counting_the_classes_gives(tmp_path: Path) -> None:
    check = checked(tmp_path, {})
    assert check.stated == 34.4
    for rule, sizes in SIZES.items():
        of_each_class = np.concatenate([np.full(sizes[fold], ROW["accuracy"][fold]) for fold in FOLDS])
        assert check.implied[rule] == pytest.approx(of_each_class.mean())


@pytest.mark.parametrize(
    ("row", "verdict", "fits"),
    [
        ({}, "agrees", ("paper",)),
        ({"fold_rule": ""}, "agrees", ("paper",)),
        ({"fold_rule": "oltr"}, "other rule", ("paper",)),
        (KL, "contradicts", ()),
        (KL | {"fold_rule": ""}, "contradicts", ()),
    ],
)
def test_a_row_is_held_to_its_own_rule_and_to_any_where_it_names_none(
    tmp_path: Path, row: dict[str, Any], verdict: str, fits: tuple[str, ...]
) -> None:
    check = checked(tmp_path, row)
    assert (check.verdict, check.fits) == (verdict, fits)


@pytest.mark.parametrize(("stated", "verdict"), [(30.1, "agrees"), (29.9, "agrees"), (30.2, "contradicts")])
def test_rounding_is_no_contradiction(tmp_path: Path, stated: float, verdict: str) -> None:
    sizes = {"paper": {"many": 10, "medium": 10, "few": 10}}
    row = {"accuracy": {"many": 40, "medium": 30, "few": 20, "all": stated}}
    assert checked(tmp_path, row, fold_sizes=sizes).verdict == verdict


@pytest.mark.parametrize(
    ("row", "changes"),
    [
        ({"accuracy": {"many": 25.3, "medium": 20.5, "all": 21.9}}, {}),
        ({"accuracy": {"many": 25.3, "medium": 20.5, "few": 39.1}}, {}),
        (KL, {"fold_sizes": {}}),
        (KL, {"fold_sizes": {"kang": SIZES["kang"]}}),
    ],
)
def test_without_all_folds_and_the_sizes_of_its_rule_a_row_is_not_judged(
    tmp_path: Path, row: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert checked(tmp_path, row, **changes) is None


@pytest.mark.parametrize(
    ("row", "changes", "complaint"),
    [
        ({"accuracy": {"all": 101}}, {}, r"rows\.0\.accuracy\.all: Input should be less than or equal to 100"),
        ({"accuracy": {"head": 50}}, {}, "'head' is no fold"),
        ({"accuracy": {}}, {}, "accuracy"),
        ({"reference": ""}, {}, "reference"),
        ({"fold_rule": "papper"}, {}, "unknown fold rule 'papper'"),
        ({"dataset": "toy-lt"}, {}, r"rows\.0\.dataset"),
        ({}, {"source": "measured"}, "reported"),
        ({}, {"fold_sizes": {"papper": SIZES["paper"]}}, "unknown fold rule 'papper'"),
        ({}, {"fold_sizes": {"paper": {"many": 391, "few": 136}}}, "'paper' needs the number of classes"),
        ({}, {"fold_sizes": SIZES | {"oltr": SIZES["oltr"] | {"few": 7}}}, "same number of classes"),
        ({}, {"dataset": ""}, "dataset"),
    ],
)
def test_a_malformed_file_is_refused(
    tmp_path: Path, row: dict[str, Any], changes: dict[str, Any], complaint: str
) -> None:
    path = write(tmp_path, row, **changes)
    with pytest.raises(DataError, match=complaint) as caught:
        load_reported(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def shipped(dataset: str) -> Reported:
    (file,) = load_reported(RESULTS / dataset)
    return file


@pytest.mark.parametrize(
    ("dataset", "table", "name"), [("imagenet-lt", "table8", "ImageNet-LT"), ("places-lt", "table9", "Places-LT")]
)
def test_the_paper_s_rows_are_shipped_as_the_paper_prints_them(dataset: str, table: str, name: str) -> None:
    file = shipped(dataset)
    theirs = {
        row["method"]: {fold: row[fold] for fold in (*FOLDS, "all") if row[fold] is not None}
        for row in reported_tables()[table]["rows"]
    }
    assert {row.method: row.accuracy for row in file.rows if row.table} == theirs
    assert file.dataset == dataset
    assert file.fold_sizes.keys() == SIZES.keys()
    stated = reported_tables()["table1"][name]["classes"]
    assert file.fold_sizes["paper"] == {fold: stated[fold] for fold in FOLDS}


@pytest.mark.parametrize("dataset", ["imagenet-lt", "places-lt"])
def test_the_sizes_of_the_shipped_folds_are_those_of_the_training_counts(dataset: str) -> None:
    facts = files("ltbench_datasets.published.facts") / f"{dataset.replace('-', '_')}.json"
    counts = json.loads(facts.read_text(encoding="utf-8"))["train"]
    at_least = {bound: sum(count >= bound for count in counts) for bound in (20, 21, 100, 101)}
    for rule, many_from, medium_from in (("paper", 100, 20), ("kang", 101, 20), ("oltr", 100, 21)):
        assert shipped(dataset).fold_sizes[rule] == {
            "many": at_least[many_from],
            "medium": at_least[medium_from] - at_least[many_from],
            "few": len(counts) - at_least[medium_from],
        }


@pytest.mark.parametrize("dataset", ["imagenet-lt", "places-lt"])
def test_the_paper_s_own_measurements_agree_with_their_folds(dataset: str) -> None:
    """Those that it took from Liu et al. need not: one contradicts itself, as ``paper_tables.json`` says."""
    file = shipped(dataset)
    verdicts = {row.method: file.check(row).verdict for row in file.rows if row.table}
    assert verdicts["Liu et al."] == "contradicts"
    assert {verdicts[row.method] for row in file.rows if row.table and "Liu" not in row.reference} == {"agrees"}
