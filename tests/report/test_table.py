"""Numbers and boards as text."""

import io

import pytest
from results.records import baseline, record
from rich.console import Console

from ltbench.report.leaderboard import boards
from ltbench.report.table import grid, interval, p_value, rich_board
from ltbench.statistics.over_seeds import Mean


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (str(Mean(52.04, 0.31)), "52.0 ± 0.3"),
        (str(Mean(52.04, None)), "52.0"),
        (interval(1.94, -0.04, 2.5), "+1.9 [+0.0, +2.5]"),
        (p_value(0.0004), "< 0.001"),
        (p_value(0.0312), "0.031"),
    ],
)
def test_numbers(value: str, text: str) -> None:
    assert value == text


def test_terminal_names_rows_by_method_fuser_settings_and_role() -> None:
    records = [
        baseline(),
        record("baseline", "joint", role="control"),
        record(settings={"experts": {"ood": "[bold]reject"}}),
        record(settings={"experts": {"ood": "exposure"}}),
    ]
    out = io.StringIO()
    Console(file=out, width=160).print(rich_board(boards(records)[0]))
    for name in ("baseline (reference)", "baseline / joint (control)", "experts / joint (ood=[bold]reject)"):
        assert name in out.getvalue()


def test_what_a_fuser_was_fitted_on_is_a_column_where_records_say_so() -> None:
    before = [baseline(), record()]
    assert "Fitted on" not in grid(boards(before)[0])[0]
    headers, lines = grid(
        boards([*before, record(fuser="soft", fitted_on="nothing"), record(fuser="kl", fitted_on="val")])[0]
    )
    column = headers.index("Fitted on")
    assert {line[headers.index("Fuser")]: line[column] for line in lines} == {
        "–": "–",
        "joint": "–",
        "soft": "nothing",
        "kl": "val",
    }
