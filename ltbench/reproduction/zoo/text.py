"""The zoo as tables of words and sentences: the same on the terminal, in markdown and in CSV."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ltbench.data.folds import COLUMNS
from ltbench.report.table import NOTHING, interval
from ltbench.reproduction.text import Grid, mean_text

NOT_MEASURED = "not measured here yet"

FOLD_HEADS = [column.capitalize() for column in COLUMNS]
COST_HEADS = ["trained, s", "images", "features", "learned", "parameters", "multiply-adds"]


OTHERWISE = "made otherwise"


def board_title(board: Mapping[str, Any]) -> str:
    pretraining = "from scratch" if board["pretraining"] == "none" else f"pretrained: {board['pretraining']}"
    return f"{board['dataset']}, {board['backbone']}, {pretraining}"


def board_about(board: Mapping[str, Any]) -> str:
    counts = " / ".join(str(count) for count in board["classes"].values())
    return (
        f"{board['dataset']}, fingerprint {board['fingerprint'][:12]}; {counts} classes many / medium / few by "
        f"'{board['folds']['rule']}': {board['folds']['text']}; {board['test']:,} test samples."
    )


def board_grid(document: Mapping[str, Any], board: Mapping[str, Any]) -> Grid:
    """Every row of the zoo, measured or not."""
    headers = ["Row", *FOLD_HEADS, "n", "Δ Few", "Δ All [95 %]", "Δ All to control", *COST_HEADS, OTHERWISE]
    lines = []
    for name, asked in document["rows"].items():
        row = board["rows"].get(name)
        if row is None:
            lines.append([asked["label"], _why_not(asked), *[NOTHING] * (len(headers) - 3), ""])
            continue
        few, to_control = row["to_reference"], row["to_control"]
        lines.append(
            [
                asked["label"],
                *accuracy_cells(row),
                _points(few, "few"),
                difference_text(few, "all"),
                _points(to_control, "all"),
                *cost_cells(row),
                "; ".join(row["otherwise"]),
            ]
        )
    return headers, lines


def narrow_grid(document: Mapping[str, Any], board: Mapping[str, Any]) -> Grid:
    """The same for a terminal: without the columns that say the least in the most room."""
    headers, lines = board_grid(document, board)
    kept = [index for index, header in enumerate(headers) if header not in ("features", "learned", OTHERWISE)]
    return [headers[index] for index in kept], [[line[index] for index in kept] for line in lines]


def otherwise_lines(document: Mapping[str, Any], board: Mapping[str, Any]) -> Iterator[str]:
    """Of each row that was made otherwise: how."""
    for name, row in board["rows"].items():
        if row["otherwise"]:
            yield f"{document['rows'][name]['label']}: {'; '.join(row['otherwise'])}"


def rows_grid(document: Mapping[str, Any], names: list[str]) -> Grid:
    """Some rows on every board."""
    headers = ["Row", "on", *FOLD_HEADS, "n", "Δ Few [95 %]", "Δ All [95 %]", *COST_HEADS]
    lines = []
    for name in names:
        asked = document["rows"][name]
        measured = [(board, board["rows"][name]) for board in document["boards"] if name in board["rows"]]
        for board, row in measured:
            deltas = [difference_text(row["to_reference"], fold) for fold in ("few", "all")]
            lines.append([asked["label"], board_name(board), *accuracy_cells(row), *deltas, *cost_cells(row)])
        if not measured:
            lines.append([asked["label"], _why_not(asked), *[NOTHING] * (len(headers) - 2)])
    return headers, lines


def board_name(board: Mapping[str, Any]) -> str:
    return board["dataset"] + ("" if board["pretraining"] == "none" else ", pretrained")


def _why_not(asked: Mapping[str, Any]) -> str:
    return f"not installed: {', '.join(asked['missing'])}" if asked["missing"] else NOT_MEASURED


def accuracy_cells(row: Mapping[str, Any]) -> list[str]:
    """Many, Medium, Few, All and the number of seeds."""
    return [*(mean_text(row["accuracy"].get(fold)) for fold in COLUMNS), str(len(row["seeds"]))]


def difference_text(differences: Mapping[str, Any] | None, fold: str) -> str:
    if not differences or fold not in differences:
        return NOTHING
    found = differences[fold]
    return interval(found["estimate"], found["low"], found["high"])


def _points(differences: Mapping[str, Any] | None, fold: str) -> str:
    found = (differences or {}).get(fold)
    return f"{round(found['estimate'], 1) + 0.0:+.1f}" if found else NOTHING


def cost_cells(row: Mapping[str, Any]) -> list[str]:
    """Under :data:`COST_HEADS`."""
    cost = row["cost"]
    if cost is None:
        return [f"{_seconds(row['wall_seconds'])} by the clock", *[NOTHING] * 5]
    counts = (cost[key] for key in ("images", "features", "learned", "parameters", "multiply_adds"))
    return [f"{_seconds(cost['seconds'])} {cost['device'].upper()}", *(short(count) for count in counts)]


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def short(count: int) -> str:
    """``12.3M``: three digits."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}" if count < 999.5 * size else f"{count / size:,.0f}{letter}"
    return str(count)


def verdicts(document: Mapping[str, Any], board: Mapping[str, Any], names: Collection[str] = ()) -> Iterator[str]:
    """A sentence for each row (of ``names``, where given) that does not do here what its source says, and by how much."""
    for name, asked in document["rows"].items():
        if names and name not in names:
            continue
        row = board["rows"].get(name)
        if row is None or not row["to_reference"]:
            continue
        below = [
            f"{fold.capitalize()} {difference_text(row['to_reference'], fold)}{_doubt(row['to_reference'][fold])}"
            for fold in asked["beats"]
            if fold in row["to_reference"] and row["to_reference"][fold]["estimate"] <= 0
        ]
        if below:
            yield (
                f"{asked['label']} is not above {document['rows'][document['reference']]['label']} where its source has it "
                f"above: {', '.join(below)} points over {_seeds(row)}."
            )


def below_control(document: Mapping[str, Any], board: Mapping[str, Any]) -> Iterator[str]:
    """Rows above the reference on All that the same reference, calibrated, outdoes, with the difference."""
    for name, asked in document["rows"].items():
        row = board["rows"].get(name)
        if row and row["to_control"] and row["to_reference"] and name != document["control"]:
            control, reference = row["to_control"]["all"], row["to_reference"]["all"]
            if control["estimate"] <= 0 < reference["estimate"]:
                yield f"{asked['label']} ({difference_text(row['to_control'], 'all')})"


def _doubt(difference: Mapping[str, float]) -> str:
    return " (the interval holds 0)" if difference["low"] <= 0 <= difference["high"] else ""


def _seeds(row: Mapping[str, Any]) -> str:
    number = len(row["seeds"])
    return f"{number} seed{'' if number == 1 else 's'}"


def csv_lines(document: Mapping[str, Any], board: Mapping[str, Any]) -> list[list[Any]]:
    """Plain numbers, a line a row that was measured."""
    costs = ("device", "seconds", "images", "features", "extracted", "learned", "parameters", "multiply_adds")
    folds = [f"{fold}{suffix}" for fold in COLUMNS for suffix in ("", "_std")]
    deltas = [f"delta_{fold}" for fold in COLUMNS]
    lines: list[list[Any]] = [["row", "methods", "fuser", "n", *folds, *deltas, *costs, "wall_seconds"]]
    for name, row in board["rows"].items():
        asked, cost = document["rows"][name], row["cost"] or {}
        lines.append(
            [
                asked["label"],
                "+".join(asked["methods"]),
                asked["fuser"],
                len(row["seeds"]),
                *(row["accuracy"].get(fold, {}).get(key) for fold in COLUMNS for key in ("mean", "std")),
                *((row["to_reference"] or {}).get(fold, {}).get("estimate") for fold in COLUMNS),
                *(cost.get(key) for key in costs),
                row["wall_seconds"],
            ]
        )
    return lines
