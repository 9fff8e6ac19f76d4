"""The two plots of a board: All against cost, Many against Few. Numbers in, PNG out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltbench.common.canonical import digest
from ltbench.report.scatter import Scatter, read_about, scatter_figure, write_png


def plots_of(document: Mapping[str, Any], board: Mapping[str, Any]) -> dict[str, Scatter]:
    """``cost`` and ``folds``."""
    labels = {name: document["rows"][name]["label"] for name in board["rows"]}
    marked = {labels[name] for name in (document["reference"], document["control"]) if name in labels}
    means = {
        labels[name]: {fold: found["mean"] for fold, found in row["accuracy"].items()}
        for name, row in board["rows"].items()
    }
    costs, unit = _costs(board)
    by_label = {labels[name]: seconds for name, seconds in costs.items()}
    return {
        "cost": Scatter(
            {label: (by_label[label], accuracy["all"]) for label, accuracy in means.items()},
            f"training: {unit}",
            "All, top-1 accuracy (%)",
            marked,
            log=True,
        ),
        "folds": Scatter(
            {label: (accuracy["few"], accuracy["many"]) for label, accuracy in means.items() if _both(accuracy)},
            "Few, top-1 accuracy (%)",
            "Many, top-1 accuracy (%)",
            marked,
        ),
    }


def _both(accuracy: Mapping[str, float]) -> bool:
    return "few" in accuracy and "many" in accuracy


def _costs(board: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Seconds of each row and what they are; one kind for all, so that they may be compared."""
    devices = {row["cost"] and row["cost"]["device"] for row in board["rows"].values()}
    if len(devices) == 1 and (device := devices.pop()):
        return {name: row["cost"]["seconds"] for name, row in board["rows"].items()}, f"{device.upper()} seconds"
    return {name: row["wall_seconds"] for name, row in board["rows"].items()}, "seconds by the clock"


def write_plot(scatter: Scatter, path: Path) -> Path:
    """As PNG, which says of which numbers it is made."""
    return write_png(scatter_figure(scatter), path, digest(scatter.plain()))


def is_of(scatter: Scatter, path: Path) -> bool:
    """Whether the file is a plot of these numbers."""
    return read_about(path) == digest(scatter.plain())
