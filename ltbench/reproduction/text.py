"""A reproduction's document as tables of words: the cells are the same on the terminal, in markdown and in CSV."""

from collections.abc import Mapping, Sequence
from typing import Any

from ltbench.data.folds import COLUMNS
from ltbench.report.table import NOTHING, interval
from ltbench.statistics.over_seeds import Mean

HEADS = tuple(column.capitalize() for column in COLUMNS)

Grid = tuple[list[str], list[list[str]]]
"""Headers, and a line of cells for each row."""


def table_name(table: Mapping[str, Any]) -> str:
    """``table2-3`` for Tables 2 and 3: the same rows beside both."""
    first, *others = table["names"]
    return "-".join([first, *(name.removeprefix("table") for name in others)])


def table_title(table: Mapping[str, Any]) -> str:
    numbers = [name.removeprefix("table") for name in table["names"] if name.startswith("table")]
    prefix = f"Table{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}: " if numbers else ""
    return prefix + table["title"]


def table_grid(table: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[Grid, list[str]]:
    """The table, and its footnotes: what is odd about the paper's rows, in the order of their numbers."""
    compared = any(entry["against"] for entry in table["entries"])
    headers = ["Row", *HEADS, "n", *(["Δ All [95 %]", "against"] if compared else [])]
    headers += [f"reported ({dataset})" for dataset in table["reported"]]
    notes: list[str] = []
    lines = []
    for entry in table["entries"]:
        line = [entry["label"], *measured_cells(entry["row"], document)]
        if compared:
            line += [_difference(entry["difference"]), _label(entry["against"], document)]
        by_dataset = {row["dataset"]: row for row in entry["reported"]}
        line += [_reported_cell(by_dataset.get(dataset), notes) for dataset in table["reported"]]
        lines.append(line)
    return (headers, lines), notes


def measured_cells(row: str | None, document: Mapping[str, Any]) -> list[str]:
    """Many, Medium, Few, All and the number of seeds."""
    if row is None:
        return [NOTHING] * 4 + [""]
    found = document["rows"][row]
    if found["missing"]:
        return [f"not installed: {', '.join(found['missing'])}", *[NOTHING] * 3, "0"]
    cells = [mean_text(found["accuracy"].get(fold)) for fold in COLUMNS]
    return [*cells, str(len(found["seeds"]))]


def mean_text(value: Mapping[str, Any] | None) -> str:
    """``52.0 ± 0.3``"""
    if value is None:
        return NOTHING
    return str(Mean(**value))


def _reported_cell(row: Mapping[str, Any] | None, notes: list[str]) -> str:
    """``43.2 / 34.3 / 18.9 / 35.7``, with the number of its footnote."""
    if row is None:
        return ""
    text = " / ".join(f"{row['accuracy'][fold]:.1f}" if fold in row["accuracy"] else NOTHING for fold in COLUMNS)
    if not row["mark"]:
        return text
    if row["mark"] not in notes:
        notes.append(row["mark"])
    return f"{text} [{notes.index(row['mark']) + 1}]"


def claims_grid(document: Mapping[str, Any]) -> Grid:
    """The paper's claims with what became of them here."""
    lines = [
        [claim["id"], claim["text"], verdict_text(claim), margin_text(claim, document), str(len(claim["seeds"]))]
        for claim in document["claims"]
    ]
    return ["", "Claim of the paper", "Here", "Margin in points [95 %]", "n"], lines


def verdict_text(claim: Mapping[str, Any]) -> str:
    doubt = ", not clearly" if claim["clear"] is False else ""
    return f"{claim['verdict']}{doubt}"


def margin_text(claim: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """The deciding comparison on each fold, or why there is none."""
    if claim["missing"]:
        gone = [name for row in claim["missing"] for name in document["rows"][row]["missing"]]
        return f"not installed: {', '.join(dict.fromkeys(gone))}"
    if claim["spread"] is not None:
        text = f"{claim['spread']:.1f} between the highest and the lowest fold"
    else:
        text = "; ".join(
            f"{margin['fold'].capitalize()} {_difference(margin['difference'])} over {_label(margin['other'], document)}"
            for margin in claim["margins"]
        )
    return text + (f" ({claim['note']})" if claim["note"] else "")


def controls_grid(document: Mapping[str, Any]) -> Grid:
    """Each ensemble against each of its controls on All, the best control first."""
    lines = []
    for found in document["controls"]:
        order = sorted(found["differences"], key=lambda name: name != found["best"])
        for name in order:
            difference = _difference(found["differences"][name])
            best = "best control" if name == found["best"] else ""
            all_ = mean_text(document["rows"][name]["accuracy"]["all"])
            lines.append([_label(found["ensemble"], document), _label(name, document), all_, difference, best])
    return ["Ensemble", "Control", "All of the control", "Ensemble − control, All [95 %]", ""], lines


def controls_sentences(document: Mapping[str, Any]) -> list[str]:
    """One sentence for each ensemble: above its best control or not, and by how much."""
    said = []
    for found in document["controls"]:
        ensemble = _label(found["ensemble"], document)
        if not found["best"]:
            said.append(f"{ensemble}: not tested, {'; '.join(_gone(found['missing'], document))}.")
            continue
        where = f"its best control ({_label(found['best'], document)})"
        margin = _difference(found["differences"][found["best"]])
        doubt = "" if found["clear"] else "; the interval holds 0"
        verb = "is above" if found["above"] else "is not above"
        left_out = f" Not compared: {'; '.join(_gone(found['missing'], document))}." if found["missing"] else ""
        said.append(
            f"{ensemble} {verb} {where}: {margin} points on All over {_seeds(found['seeds'])}{doubt}.{left_out}"
        )
    return said


def _gone(rows: Sequence[str], document: Mapping[str, Any]) -> list[str]:
    return [f"{_label(row, document)} (not installed: {', '.join(document['rows'][row]['missing'])})" for row in rows]


def _seeds(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"


def _label(row: str | None, document: Mapping[str, Any]) -> str:
    return document["rows"][row]["label"] if row else ""


def _difference(difference: Mapping[str, float] | None) -> str:
    return interval(difference["estimate"], difference["low"], difference["high"]) if difference else ""
