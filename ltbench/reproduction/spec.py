"""What the paper shows, read from ``paper.toml``, and the zoo of ``zoo.toml``. Imports neither torch nor matplotlib."""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ltbench.errors import UsageError, did_you_mean

ALL = "all"
"""The target that stands for all others."""

ZOO = "zoo"
"""The target that is a page of its own: every method beside the others, with what it costs."""

Fold = Literal["many", "medium", "few", "all"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowSpec(_Part):
    """One measured row.

    Attributes:
        label: how it is called where an entry of a table does not say otherwise.
        methods, fuser: whose members are fused, and how; ``none``: one classifier as it is.
        set: ``KEY=VALUE`` settings that make it differ from the recipes.
        analysis: ``oracle``: the answer of the expert told to hold the true class, in place of a fuser's.
        beats: folds on which its source has it above the reference.
        about: the method or fuser under whose name a page speaks of it; by default its one method.
    """

    label: str
    methods: tuple[str, ...] = Field(min_length=1)
    fuser: str = "none"
    set: tuple[str, ...] = ()
    analysis: Literal["", "oracle"] = ""
    beats: tuple[Fold, ...] = ()
    about: str = ""


class Entry(_Part):
    """A line of a table: a measured ``row``, the row of the ``paper`` it stands beside, or one of the two alone.

    ``against``: the row that the difference on All is taken to.
    """

    row: str = ""
    paper: str = ""
    label: str = ""
    against: str = ""


class TableSpec(_Part):
    """A table. ``names``: what a user types for it; ``paper``: tables of ``paper_tables.json`` shown beside it."""

    names: tuple[str, ...] = Field(min_length=1)
    title: str
    paper: tuple[str, ...] = ()
    note: str = ""
    entries: tuple[Entry, ...]

    @property
    def rows(self) -> list[str]:
        return [row for entry in self.entries for row in (entry.row, entry.against) if row]


class Panel(_Part):
    """One bar chart: these rows under these labels."""

    title: str
    rows: tuple[str, ...]
    labels: tuple[str, ...]


class FigureSpec(_Part):
    """A figure. ``row``: whose posterior and members are looked at; ``panels``: of the kind ``bars``."""

    name: str
    kind: Literal["class_counts", "bars", "expert_confusion", "confidence"]
    title: str
    row: str = ""
    panels: tuple[Panel, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def rows(self) -> list[str]:
        return [row for panel in self.panels for row in panel.rows] + ([self.row] if self.row else [])


class ClaimSpec(_Part):
    """A claim of the paper.

    Attributes:
        kind: ``above``: each of ``rows`` above each of ``others`` on each of ``folds``; ``spread``: the ``folds`` of the
            one row lie within ``points`` percentage points of each other.
        or_equal: not below is enough.
    """

    id: str
    text: str
    kind: Literal["above", "spread"]
    rows: tuple[str, ...] = Field(min_length=1)
    others: tuple[str, ...] = ()
    folds: tuple[Fold, ...] = Field(min_length=1)
    or_equal: bool = False
    points: float = 0.0
    note: str = ""


class ControlsSpec(_Part):
    """An ensemble and the single classifiers, calibrated alike, that it has to beat on All."""

    ensemble: str
    controls: tuple[str, ...] = Field(min_length=1)


class Paper(_Part):
    """Everything in ``paper.toml``, or ``zoo.toml``. A row that is named and not defined is refused.

    Of the zoo alone: ``reference``, the row that others are compared with; ``control``, the same classifier, calibrated;
    ``apart``, methods that are spoken of and have no row, for their network is another.
    """

    rows: dict[str, RowSpec]
    tables: tuple[TableSpec, ...]
    figures: tuple[FigureSpec, ...]
    claims: tuple[ClaimSpec, ...]
    controls: tuple[ControlsSpec, ...]
    reference: str = ""
    control: str = ""
    apart: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _rows_defined(self) -> "Paper":
        named = [row for part in self.parts for row in part.rows]
        named += [row for claim in self.claims for row in (*claim.rows, *claim.others)]
        named += [row for one in self.controls for row in (one.ensemble, *one.controls)]
        named += [row for row in (self.reference, self.control) if row]
        if unknown := [row for row in named if row not in self.rows]:
            raise ValueError(f"row '{unknown[0]}' is named but not defined")
        return self

    @property
    def parts(self) -> list[TableSpec | FigureSpec]:
        """Tables, then figures."""
        return [*self.tables, *self.figures]

    @property
    def targets(self) -> list[str]:
        """What a user may ask for, without ``all``."""
        return [name for part in self.parts for name in part.names]

    def select(self, targets: Iterable[str]) -> "Paper":
        """The tables and figures asked for, the rows they need, and the claims and controls about no other rows.

        Raises:
            UsageError: an unknown target, or none.
        """
        wanted = list(targets)
        if not wanted:
            raise UsageError(f"no target: choose from {', '.join([*self.targets, ALL])}.")
        for name in wanted:
            if name not in (*self.targets, ALL):
                known = [*self.targets, ALL, ZOO]
                raise UsageError(f"unknown target '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}.")
        if ALL in wanted:
            wanted = self.targets
        tables = tuple(table for table in self.tables if set(table.names) & set(wanted))
        figures = tuple(figure for figure in self.figures if figure.name in wanted)
        parts: list[TableSpec | FigureSpec] = [*tables, *figures]
        needed = {row for part in parts for row in part.rows}
        return Paper(
            rows={name: row for name, row in self.rows.items() if name in needed},
            tables=tables,
            figures=figures,
            claims=tuple(claim for claim in self.claims if {*claim.rows, *claim.others} <= needed),
            controls=tuple(
                ControlsSpec(ensemble=one.ensemble, controls=kept)
                for one in self.controls
                if one.ensemble in needed and (kept := tuple(row for row in one.controls if row in needed))
            ),
        )


@cache
def paper() -> Paper:
    """The paper of ``paper.toml``."""
    return _read("paper.toml")


@cache
def zoo() -> Paper:
    """The methods that the field compares with, of ``zoo.toml``."""
    return _read("zoo.toml")


def chosen(targets: Iterable[str]) -> Paper:
    """What is asked for: of the paper (:meth:`Paper.select`), or the zoo.

    Raises:
        UsageError: as :meth:`Paper.select`; the zoo together with others.
    """
    wanted = list(targets)
    if ZOO not in wanted:
        return paper().select(wanted)
    if set(wanted) != {ZOO}:
        raise UsageError("zoo is a page of its own: ask for it and for the paper's tables in two commands.")
    return zoo()


def _read(name: str) -> Paper:
    return Paper.model_validate(tomllib.loads((files("ltbench.reproduction") / name).read_text(encoding="utf-8")))
