"""The paper as data: complete, consistent with the numbers it reports, and cut down to what is asked for."""

import pytest
from pydantic import ValidationError

from ltbench.errors import UsageError
from ltbench.reproduction.reported import reported, reported_tables
from ltbench.reproduction.spec import Paper, paper

TABLES = [f"table{number}" for number in range(2, 10)]


def test_every_table_and_figure_of_the_paper_is_a_target() -> None:
    assert {*TABLES, "figure2", "figure3", "figure4", "figure5", "ablations"} == set(paper().targets)


def test_every_row_that_the_paper_reports_stands_in_its_table() -> None:
    for table in paper().tables:
        for name in table.paper:
            rows = {row["method"] for row in reported_tables()[name]["rows"]}
            assert {entry.paper for entry in table.entries if entry.paper} == rows


def test_reported_numbers_keep_their_gaps_and_marks() -> None:
    exposure = reported("table2", "Outlier exposure")
    assert (exposure.dataset, exposure.accuracy) == ("ImageNet-LT", {"many": 43.1, "medium": 31.1})
    assert reported("table6", "KL-div min.").mark == "All disagrees with its folds: they imply 24.9"
    assert reported("table9", "Ours (All)").accuracy == {"many": 43.6, "medium": 39.9, "few": 27.7, "all": 38.9}


def test_a_calibrated_single_classifier_stands_in_every_table_with_experts() -> None:
    for table in paper().tables:
        if table.paper:
            assert "baseline_joint" in table.rows


def test_a_target_brings_its_rows_and_only_the_claims_about_them() -> None:
    chosen = paper().select(["table7"])
    assert [table.names for table in chosen.tables] == [("table6", "table7")]
    assert "experts_kl" in chosen.rows
    assert "uniform" not in chosen.rows
    assert [claim.id for claim in chosen.claims] == ["c", "d", "f"]
    assert [(one.ensemble, one.controls) for one in chosen.controls] == [("experts_joint", ("baseline_joint",))]


def test_all_is_everything() -> None:
    assert paper().select(["all"]) == paper()
    assert {claim.id for claim in paper().claims} >= set("abcdefgh")


def test_an_unknown_target_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown target 'tabel6'\. Did you mean 'table6'\?"):
        paper().select(["table6", "tabel6"])
    with pytest.raises(UsageError, match="no target"):
        paper().select([])


def test_a_row_must_be_defined() -> None:
    values = paper().model_dump()
    del values["rows"]["baseline"]
    with pytest.raises(ValidationError, match="row 'baseline' is named but not defined"):
        Paper.model_validate(values)
