"""Boards as text: the cells are the same on the terminal and in markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ltbench.common.escaping import markdown, visible
from ltbench.data.augmentation.views import TestViews
from ltbench.data.folds import COLUMNS, FOLDS, fold_rule
from ltbench.report.leaderboard import Board, Protocol, Row

HEADERS = (
    "#",
    "Methods",
    "Fuser",
    "Fitted on",
    "Role",
    "Settings",
    "n",
    "Many",
    "Medium",
    "Few",
    "All",
    "ECE",
    "Δ All [95 %]",
    "p",
    "Config",
)

NOTHING = "–"

_VIEWS: dict[TestViews, str] = {
    "centre": "",
    "flip": ", evaluated with mirror images",
    "five_crops": ", evaluated on five crops",
    "five_crops_flip": ", evaluated on five crops and their mirror images",
}
"""Remarks on a track; the plain view needs none."""
_LOOK: dict[str, Any] = {"title_justify": "left", "caption_justify": "left", "box": box.SIMPLE, "padding": (0, 1, 0, 0)}
_RIGHT = {"#", "n", "Many", "Medium", "Few", "All", "ECE", "p"}


def grid(board: Board) -> tuple[list[str], list[list[str]]]:
    """(headers, a line of cells for each row), without columns that say nothing on this board."""
    unused = set() if any(row.label for row in board.rows) else {"Settings"}
    unused |= set() if any(row.fitted_on for row in board.rows) else {"Fitted on"}
    unused |= set() if board.baseline is not None else {"Δ All [95 %]", "p"}
    kept = [index for index, header in enumerate(HEADERS) if header not in unused]
    lines = [cells(rank, row) for rank, row in enumerate(board.rows, 1)]
    return [HEADERS[index] for index in kept], [[line[index] for index in kept] for line in lines]


def cells(rank: int, row: Row) -> list[str]:
    """One row under :data:`HEADERS`; ``rank`` where it has one."""
    delta = row.delta
    return [
        str(rank) if row.ranked else NOTHING,
        " + ".join(row.methods),
        NOTHING if row.fuser == "none" else row.fuser,
        row.fitted_on or NOTHING,
        "" if row.role == "run" else row.role,
        row.label,
        str(len(row.seeds)),
        *(str(row.accuracy[fold]) if fold in row.accuracy else NOTHING for fold in COLUMNS),
        str(row.ece),
        NOTHING if delta is None else interval(delta.estimate, delta.low, delta.high),
        NOTHING if delta is None else p_value(delta.p),
        row.config + ("†" if row.dirty else "") + (" ✓" if row.recomputed else ""),
    ]


def interval(estimate: float, low: float, high: float) -> str:
    """``+1.9 [+1.3, +2.5]``"""
    estimate, low, high = (round(value, 1) + 0.0 for value in (estimate, low, high))  # + 0.0: no "-0.0"
    return f"{estimate:+.1f} [{low:+.1f}, {high:+.1f}]"


def p_value(p: float) -> str:
    """Three digits, ``< 0.001`` below."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def track_text(protocol: Protocol) -> str:
    """The track in a line."""
    track = protocol.track
    epochs = "epoch" if track.epochs == 1 else "epochs"
    start = "from scratch" if track.pretraining == "none" else f"pretrained ({track.pretraining})"
    return (
        f"{track.backbone}, {start}, {track.epochs} {epochs}, augmentation {track.augmentation}, {track.resolution} px"
        f"{_VIEWS[track.test_views]}{', transductive' if track.transductive else ''}"
    )


def protocol_text(board: Board) -> str:
    """Data, fold rule and selection in a line."""
    protocol, sizes = board.protocol, board.fold_sizes
    rule = fold_rule(protocol.fold_rule)
    return (
        f"{protocol.dataset}, fingerprint {protocol.fingerprint[:12]}; {sum(sizes.values())} classes, "
        f"{board.test} test samples; folds '{rule.name}': {rule.text}; "
        f"{' / '.join(str(sizes[fold]) for fold in FOLDS)} classes many / medium / few; "
        f"selected on {protocol.selection.split} ({protocol.selection.criterion})"
    )


def rich_board(board: Board) -> Table:
    """The board for a terminal, narrower than :func:`grid`: what names a row takes one column."""
    table = Table(title=track_text(board.protocol), caption=protocol_text(board), **_LOOK)
    compared = board.baseline is not None
    _add_columns(
        table, ["#", "Row", "n", "Many", "Medium", "Few", "All", "ECE", *(["Δ All [95 %]", "p"] if compared else [])]
    )
    for rank, row in enumerate(board.rows, 1):
        line = dict(zip(HEADERS, cells(rank, row), strict=True))
        accuracy = [line[header] for header in ("Many", "Medium", "Few", "All")]
        difference = [line["Δ All [95 %]"], line["p"]] if compared else []
        style = {"reference": "bold", "control": "italic", "run": ""}[row.role]
        texts = [line["#"], _name(row), line["n"], *accuracy, f"{row.ece.mean:.1f}", *difference]
        table.add_row(*map(_text, texts), style=style)
    return table


def _name(row: Row) -> str:
    fuser = "" if row.fuser == "none" else f" / {row.fuser}"
    remarks = ", ".join(filter(None, [row.label, "" if row.role == "run" else row.role]))
    return f"{'+'.join(row.methods)}{fuser}" + (f" ({remarks})" if remarks else "") + (" ✓" if row.recomputed else "")


def rich_table(title: str, headers: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    """Any cells for a terminal."""
    table = Table(title=title, **_LOOK)
    _add_columns(table, headers)
    for line in lines:
        table.add_row(*map(_text, line))
    return table


def _text(cell: str) -> Text:
    """As it is: brackets are no markup, on whichever console the table is shown."""
    return Text(visible(cell))


def _add_columns(table: Table, headers: Iterable[str]) -> None:
    for header in headers:
        table.add_column(header, justify="right" if header in _RIGHT else "left", overflow="fold")


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A GitHub table; whatever is in a cell is shown as it is."""
    lines = [list(headers), ["---:" if header in _RIGHT else "---" for header in headers]]
    lines += [[markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
