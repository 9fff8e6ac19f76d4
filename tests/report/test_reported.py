"""Published rows as tables: which tables there are, in which order, with which cells and notes."""

import io
from typing import Any

from rich.console import Console

from ltbench.report.reported import HEADERS, Section, rich_section, sections
from ltbench.results.reported import Reported

SIZES = {"paper": {"many": 10, "medium": 10, "few": 10}, "oltr": {"many": 10, "medium": 5, "few": 15}}
"""Under ``paper`` the folds of :func:`row` imply 30.0, under ``oltr`` 28.3."""


def row(method: str, all_classes: float = 30.0, **changes: Any) -> dict[str, Any]:
    accuracy = {"many": 40.0, "medium": 30.0, "few": 20.0, "all": all_classes}
    return {"method": method, "accuracy": accuracy, "backbone": "ResNet-10", "reference": "A paper"} | changes


def made(*rows: dict[str, Any]) -> list[Section]:
    return sections([Reported.model_validate({"dataset": "toy-lt", "fold_sizes": SIZES, "rows": rows})])


def column(section: Section, header: str) -> list[str]:
    return [line[HEADERS.index(header)] for line in section.lines]


def test_published_tables_come_first_then_each_backbone_the_fullest_first() -> None:
    found = made(
        row("a", backbone="ViT"),
        row("b", backbone=""),
        row("c"),
        row("d"),
        row("e", table="Table 8"),
        row("f", table="Table 8", backbone="ResNet-50"),
    )
    assert [section.title for section in found] == ["Table 8", "ResNet-10", "Backbone not given", "ViT"]
    assert [column(section, "Method") for section in found] == [["e", "f"], ["c", "d"], ["b"], ["a"]]


def test_rows_of_a_table_by_all_and_what_is_not_known_is_empty() -> None:
    (section,) = made(
        row("low", accuracy={"all": 12.34}), row("high", epochs="90"), row("none", accuracy={"many": 50, "few": 10})
    )
    assert column(section, "Method") == ["high", "low", "none"]
    assert column(section, "All") == ["30.0", "12.3", "–"]
    assert column(section, "Medium") == ["30.0", "–", "–"]
    assert column(section, "Epochs") == ["90", "–", "–"]
    assert section.notes == []


def test_an_unknown_fold_rule_says_what_fits() -> None:
    (section,) = made(
        row("stated", 30.0, fold_rule="paper"),
        row("unknown", 30.0),
        row("any", accuracy={"many": 25.0, "medium": 25.0, "few": 25.0, "all": 25.0}),
        row("odd", 20.0),
        row("all alone", accuracy={"all": 10.0}),
    )
    assert column(section, "Fold rule") == ["paper", "unknown, fits paper", "unknown, fits all", "unknown", "–"]


def test_marks_are_numbered_through_all_tables_and_each_has_its_note() -> None:
    paper, backbone = made(
        row("wrong", 50.0, table="Table 8"), row("shifted", 28.3, fold_rule="paper"), row("odd", 10.0), row("fine")
    )
    assert column(paper, "Mark") == ["‡1"]
    assert dict(zip(column(backbone, "Method"), column(backbone, "Mark"), strict=True)) == {
        "fine": "",
        "shifted": "§2",
        "odd": "‡3",
    }
    assert backbone.notes == [
        "§2 shifted: All is 28.3, its folds imply 30.00 under paper (-1.70); they agree under oltr.",
        "‡3 odd: All is 10.0, its folds imply 30.00 under paper (-20.00), 28.33 under oltr (-18.33).",
    ]


def test_a_terminal_of_100_columns_shows_every_row_on_one_line() -> None:
    (section,) = made(row("Ours [All]"), row("wrong", 50.0, epochs="90+10"))
    out = io.StringIO()
    Console(file=out, width=100).print(rich_section(section))
    for parts in (["Ours [All]", "30.0", "unknown, fits paper"], ["wrong", "90+10", "50.0", "‡1"]):
        (line,) = [line for line in out.getvalue().splitlines() if parts[0] in line]
        assert all(part in line for part in parts)
