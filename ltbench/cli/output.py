"""How the commands that answer something print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STATUS_STYLE = {"ok": "green", "conflict": "yellow", "disabled": "dim", "incompatible": "red", "broken": "bold red"}


def print_json(value: Any) -> None:
    """Indented JSON on standard output; what JSON has no type for as its text."""
    print(json.dumps(value, indent=1, default=str))


def console() -> Console:
    """See :func:`ltbench.report.console.console`; rich is imported only now."""
    from ltbench.report.console import console as make

    return make()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Table:
    """A table without vertical lines. The first column is what one types, and never broken."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from ltbench.common.escaping import visible

    made = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        made.add_column(column, style="cyan" if position == 0 else "", no_wrap=position == 0, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(visible(str(cell))) for cell in row))
    return made


def status_text(status: str) -> Any:
    """A plugin's status in its colour."""
    from rich.text import Text

    return Text(status, style=STATUS_STYLE[status])
