"""A figure and its numbers side by side: ``NAME.png``, ``NAME.pdf``, ``NAME.json``, ``NAME.csv``."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.common.files import write_json, write_text
from ltbench.data.folds import FOLDS
from ltbench.report.figures import (
    bars_figure,
    class_counts_figure,
    confidence_figure,
    expert_confusion_figure,
    save_figure,
)

Lines = list[list[Any]]


def write_class_counts(path: Path, train_counts: Sequence[int], folds: Sequence[int]) -> list[Path]:
    """Figure 2; ``path`` without a suffix, here and below. ``folds``: position in FOLDS of each class."""
    lines = [[label, count, FOLDS[fold]] for label, (count, fold) in enumerate(zip(train_counts, folds, strict=True))]
    data = {"train_counts": list(train_counts), "folds": [FOLDS[fold] for fold in folds]}
    drawn = save_figure(class_counts_figure(train_counts, folds), path)
    return drawn + _data(path, data, [["class", "train_count", "fold"], *lines])


def write_bars(path: Path, panels: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Figure 3; panels as :func:`ltbench.report.figures.bars_figure` takes them."""
    lines: Lines = [["panel", "model", "fold", "mean", "std"]]
    for panel in panels:
        for fold, values in panel["folds"].items():
            rows = zip(panel["labels"], values["mean"], values["std"], strict=True)
            lines += [[panel["title"], label, fold, mean, std] for label, mean, std in rows]
    return save_figure(bars_figure(panels), path) + _data(path, {"panels": list(panels)}, lines)


def write_expert_confusion(path: Path, data: Mapping[str, Any]) -> list[Path]:
    """Figure 4; ``data``: ``folds``, ``experts``, ``percent``."""
    drawn = save_figure(expert_confusion_figure(data["folds"], data["experts"], data["percent"]), path)
    lines = [[fold, *row] for fold, row in zip(data["folds"], data["percent"], strict=True)]
    return drawn + _data(path, data, [["fold", *data["experts"]], *lines])


def write_confidence(path: Path, data: Mapping[str, Any]) -> list[Path]:
    """Figure 5; ``data``: ``edges`` and ``counts``, expert -> samples in each bin."""
    drawn = save_figure(confidence_figure(data["edges"], data["counts"]), path)
    bins = zip(data["edges"][:-1], data["edges"][1:], *data["counts"].values(), strict=True)
    return drawn + _data(path, data, [["from", "to", *data["counts"]], *map(list, bins)])


def write_csv(path: Path, lines: Iterable[Sequence[Any]]) -> Path:
    """Comma separated values; None is empty. Raises DataError when the place cannot be written."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return write_text(path, text.getvalue())


def _data(path: Path, data: Mapping[str, Any], lines: Lines) -> list[Path]:
    write_json(path.with_suffix(".json"), dict(data))
    return [path.with_suffix(".json"), write_csv(path.with_suffix(".csv"), lines)]
