"""Published rows as tables of words: the cells and footnotes are the same on the terminal and in markdown."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from ltbench.data.folds import FOLDS, fold_rule
from ltbench.report.table import NOTHING, rich_table
from ltbench.results.reported import FoldCheck, Reported, ReportedRow

HEADERS = ("Method", "Epochs", "Many", "Medium", "Few", "All", "Fold rule", "Source", "Read", "Mark")

MARKS = {"contradicts": "‡", "other rule": "§", "agrees": ""}

WHY_APART = """\
Numbers as their sources print them, the highest All of a table first. They are not ranked, neither with measured rows
nor among themselves: nothing of them can be recomputed here, a source does not always say on which split its epoch was
selected, and fold rules, backbones and epochs differ. Compare rows of one backbone, the same epochs and one fold rule."""

KEY = (
    f"{NOTHING}: not known here. The source does not say, was not read for it, or is not legible in our copy.",
    "Fold rule: the one of the source. Where it is unknown, what fits: the rules under which All is the mean of the "
    "folds, weighted by their classes.",
    "Read: how the numbers were taken from the source.",
    "‡: the row contradicts itself. All is that mean under none of the rules; a note below the table says by how much.",
    "§: All is not that mean under the rule of the source, but is under another.",
)
"""What the cells mean, a line each."""


@dataclass(frozen=True)
class Section:
    """One table: cells under :data:`HEADERS`, and a note for each row with a mark."""

    title: str
    lines: list[list[str]]
    notes: list[str]


def sections(reported: Iterable[Reported]) -> list[Section]:
    """The tables of one dataset: published tables that are shown whole come first, by title, then a table for each
    backbone, the one with most rows first. Marks are numbered through all of them."""
    groups: dict[tuple[str, str], list[tuple[ReportedRow, FoldCheck | None]]] = defaultdict(list)
    for file in reported:
        for row in file.rows:
            groups[row.table, "" if row.table else row.backbone].append((row, file.check(row)))
    made: list[Section] = []
    for key in sorted(groups, key=lambda key: (not key[0], key[0], -len(groups[key]), key[1])):
        table, backbone = key
        numbered_from = 1 + sum(len(section.notes) for section in made)
        made.append(_section(table or backbone or "Backbone not given", groups[key], numbered_from))
    return made


def rules_text(reported: Iterable[Reported]) -> list[str]:
    """A line for each fold rule under which rows are checked, with the number of classes in each fold."""
    sizes = {rule: sizes for file in reported for rule, sizes in file.fold_sizes.items()}
    return [
        f"`{rule}`: {fold_rule(rule).text}; {' / '.join(str(sizes[rule][fold]) for fold in FOLDS)} classes "
        "many / medium / few"
        for rule in sorted(sizes)
    ]


def rich_section(section: Section) -> Table:
    """A section's table for a terminal: without the columns that take most room, the source and how it was read."""
    shown = [index for index, header in enumerate(HEADERS) if header not in ("Source", "Read")]
    return rich_table(
        section.title, [HEADERS[index] for index in shown], [[line[index] for index in shown] for line in section.lines]
    )


def _section(title: str, rows: Sequence[tuple[ReportedRow, FoldCheck | None]], first: int) -> Section:
    ordered = sorted(rows, key=lambda pair: (-pair[0].accuracy.get("all", -1.0), _cells(pair[0], pair[1], "")))
    lines: list[list[str]] = []
    notes: list[str] = []
    for row, check in ordered:
        mark = MARKS[check.verdict] if check else ""
        if check and mark:
            mark += str(first + len(notes))
            notes.append(f"{mark} {_name(row)}: {_disagreement(row, check)}")
        lines.append(_cells(row, check, mark))
    return Section(title, lines, notes)


def _cells(row: ReportedRow, check: FoldCheck | None, mark: str) -> list[str]:
    accuracy = [f"{row.accuracy[fold]:.1f}" if fold in row.accuracy else NOTHING for fold in (*FOLDS, "all")]
    rule = row.fold_rule or _fitting(row, check)
    return [row.method, row.epochs or NOTHING, *accuracy, rule, row.reference, row.verified or NOTHING, mark]


def _fitting(row: ReportedRow, check: FoldCheck | None) -> str:
    """What is known of a fold rule that the source does not name."""
    if not any(fold in row.accuracy for fold in FOLDS):
        return NOTHING
    if check is None or not check.fits:
        return "unknown"
    return f"unknown, fits {'all' if len(check.fits) == len(check.implied) else ' or '.join(check.fits)}"


def _name(row: ReportedRow) -> str:
    return row.method + (f" ({row.epochs} epochs)" if row.epochs else "")


def _disagreement(row: ReportedRow, check: FoldCheck) -> str:
    """What does not agree, and by how many points."""
    off = {rule: check.stated - value for rule, value in check.implied.items()}
    implied = [f"{check.implied[rule]:.2f} under {rule} ({off[rule]:+.2f})" for rule in check.implied]
    if check.verdict == "contradicts":
        return f"All is {check.stated:.1f}, its folds imply {', '.join(implied)}."
    own = implied[list(check.implied).index(row.fold_rule)]
    return f"All is {check.stated:.1f}, its folds imply {own}; they agree under {' and '.join(check.fits)}."
