"""The files of a reproduction: ``REPRODUCTION.md``, ``reproduction.json``, ``tables/*.csv``, ``figures/*``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltbench.common.files import write_json, write_text
from ltbench.data.folds import COLUMNS
from ltbench.report.figure_data import (
    write_bars,
    write_class_counts,
    write_confidence,
    write_csv,
    write_expert_confusion,
)
from ltbench.reproduction.markdown import FILE_NAME, drawable, page
from ltbench.reproduction.pooled import pooled
from ltbench.reproduction.text import claims_grid, controls_grid, table_name

JSON_NAME = "reproduction.json"


def write(document: Mapping[str, Any], folder: Path, command: str) -> list[Path]:
    """Write everything; the paths in the order of reading. Raises DataError when the place cannot be written."""
    written = [write_text(folder / FILE_NAME, page(document, command)), folder / JSON_NAME]
    write_json(folder / JSON_NAME, document)
    for name, (headers, lines) in (("claims", claims_grid(document)), ("controls", controls_grid(document))):
        if lines:
            written.append(write_csv(folder / "tables" / f"{name}.csv", [headers, *lines]))
    for table in document["tables"]:
        written.append(write_csv(folder / "tables" / f"{table_name(table)}.csv", _table_lines(table, document)))
    for figure in document["figures"]:
        if drawable(figure):
            written += _write_figure(figure, folder / "figures" / figure["name"])
    return written


def _table_lines(table: Mapping[str, Any], document: Mapping[str, Any]) -> list[list[Any]]:
    """One line a row with plain numbers; empty where there is none."""
    measured = [f"measured_{fold}{suffix}" for fold in COLUMNS for suffix in ("", "_std")]
    reported = [f"reported_{dataset}_{fold}" for dataset in table["reported"] for fold in COLUMNS]
    marks = [f"reported_{dataset}_mark" for dataset in table["reported"]]
    lines: list[list[Any]] = [["row", *measured, "seeds", *reported, *marks]]
    for entry in table["entries"]:
        row = document["rows"].get(entry["row"], {})
        accuracy = row.get("accuracy", {})
        by_dataset = {one["dataset"]: one for one in entry["reported"]}
        lines.append(
            [
                entry["label"],
                *(accuracy.get(fold, {}).get(key) for fold in COLUMNS for key in ("mean", "std")),
                len(row.get("seeds", [])),
                *(
                    by_dataset.get(dataset, {"accuracy": {}})["accuracy"].get(fold)
                    for dataset in table["reported"]
                    for fold in COLUMNS
                ),
                *(by_dataset.get(dataset, {}).get("mark") for dataset in table["reported"]),
            ]
        )
    return lines


def _write_figure(figure: Mapping[str, Any], path: Path) -> list[Path]:
    if figure["kind"] == "class_counts":
        return write_class_counts(path, figure["train_counts"], figure["folds"])
    if figure["kind"] == "bars":
        return write_bars(path, figure["panels"])
    data = pooled(figure["kind"], figure["seeds"])
    return write_confidence(path, data) if figure["kind"] == "confidence" else write_expert_confusion(path, data)
