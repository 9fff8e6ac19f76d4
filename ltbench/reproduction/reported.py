"""The numbers that the paper reports, from ``paper_tables.json``. What is not legible in the source is null there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Reported:
    """A row as the paper reports it.

    Attributes:
        accuracy: fold -> percent; what is not legible is left out.
        mark: what is odd about it; empty where nothing is.
    """

    dataset: str
    accuracy: dict[str, float]
    mark: str


@cache
def reported_tables() -> dict[str, Any]:
    """``paper_tables.json``: Tables 1 to 9 with their source."""
    content: dict[str, Any] = json.loads(
        (files("ltbench.reproduction") / "paper_tables.json").read_text(encoding="utf-8")
    )
    return content


def reported(table: str, method: str) -> Reported:
    """The row ``method`` of ``table``."""
    content = reported_tables()[table]
    row = next(row for row in content["rows"] if row["method"] == method)
    accuracy = {fold: row[fold] for fold in ("many", "medium", "few", "all") if row[fold] is not None}
    return Reported(content["dataset"], accuracy, row.get("mark", ""))


def datasets_of(tables: Sequence[str]) -> list[str]:
    """The datasets that these tables of the paper are of."""
    return [reported_tables()[name]["dataset"] for name in tables]
