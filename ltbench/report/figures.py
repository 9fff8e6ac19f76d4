"""The paper's figures from plain numbers, for print: matplotlib without pyplot, fonts embedded, colours of Okabe & Ito.

Those colours stay apart for readers with any common colour vision deficiency, and differ in lightness for grey prints.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ltbench.common.files import written_beside
from ltbench.data.folds import FOLDS

FOLD_COLORS = {"many": "#0072B2", "medium": "#E69F00", "few": "#009E73", "all": "#555555"}

_COLUMN, _PAGE = 3.4, 7.0
"""Width in inches of one column and of both."""

_DOTS_PER_INCH = 200

_LABEL_WIDTH = 10
"""Characters on a line below a group of bars."""

_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


def class_counts_figure(train_counts: Sequence[int], folds: Sequence[int]) -> Figure:
    """Figure 2: training images per class, most frequent first, on a log axis; the split shaded.

    Args:
        folds: position in :data:`FOLDS` of each class.
    """
    counts, fold_of = np.asarray(train_counts), np.asarray(folds)
    order = np.lexsort((fold_of, -counts))
    counts, fold_of = counts[order], fold_of[order]
    with matplotlib.rc_context(_STYLE):
        figure, (axes,) = _figure(_COLUMN, 2.2)
        axes.plot(np.arange(len(counts)), counts, color="black", linewidth=1)
        axes.set_yscale("log")
        bottom = max(1, int(counts.min())) / 1.5
        axes.set_ylim(bottom, counts.max() * 2.2)
        axes.set_xlim(-0.5, len(counts) - 0.5)
        for position, name in enumerate(FOLDS):
            ranks = np.flatnonzero(fold_of == position)
            if len(ranks):
                left, right = ranks[0] - 0.5, ranks[-1] + 0.5
                axes.axvspan(left, right, color=FOLD_COLORS[name], alpha=0.25, linewidth=0)
                text = f"{name.capitalize()}\n{len(ranks)} class{'es' if len(ranks) > 1 else ''}"
                axes.text((left + right) / 2, counts.max() * 1.9, text, ha="center", va="top", fontsize=7)
        axes.set_xlabel("classes by frequency")
        axes.set_ylabel("training images")
    return figure


def bars_figure(panels: Sequence[Mapping[str, Any]]) -> Figure:
    """Figure 3: a panel for each group of models, accuracy on each fold in percent, deviation over seeds as whiskers.

    Args:
        panels: ``title``, ``labels`` and ``folds``: fold -> {"mean": one a label, "std": the same or None}. Panels without
            labels are left out.
    """
    shown = [panel for panel in panels if panel["labels"]]
    with matplotlib.rc_context(_STYLE):
        figure, all_axes = _figure(_PAGE, 2.4, widths=[len(panel["labels"]) for panel in shown])
        top = max(
            mean + (std or 0)
            for panel in shown
            for values in panel["folds"].values()
            for mean, std in zip(values["mean"], values["std"], strict=True)
        )
        for axes, panel in zip(all_axes, shown, strict=True):
            _grouped_bars(axes, panel)
            axes.set_ylim(0, min(100, top * 1.1))
            axes.set_title(panel["title"], loc="left")
        all_axes[0].set_ylabel("top-1 accuracy (%)")
        handles, names = all_axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=len(names), columnspacing=1.2, handlelength=1)
    return figure


def _grouped_bars(axes: Axes, panel: Mapping[str, Any]) -> None:
    width = 0.8 / len(panel["folds"])
    for number, (fold, values) in enumerate(panel["folds"].items()):
        left = np.arange(len(panel["labels"])) + (number - (len(panel["folds"]) - 1) / 2) * width
        std = [0.0 if value is None else value for value in values["std"]]
        axes.bar(left, values["mean"], width, color=FOLD_COLORS[fold], label=fold.capitalize())
        if any(std):
            axes.errorbar(left, values["mean"], yerr=std, fmt="none", ecolor="black", elinewidth=0.6, capsize=1.2)
    axes.set_xticks(range(len(panel["labels"])), [textwrap.fill(label, _LABEL_WIDTH) for label in panel["labels"]])


def expert_confusion_figure(folds: Sequence[str], experts: Sequence[str], percent: Sequence[Sequence[float]]) -> Figure:
    """Figure 4: row = fold of the test sample, column = the expert that classified it, in percent of the row."""
    values = np.asarray(percent)
    shades = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", FOLD_COLORS["many"]])
    with matplotlib.rc_context(_STYLE | {"axes.spines.left": False, "axes.spines.bottom": False}):
        figure, (axes,) = _figure(0.75 * len(experts) + 1.2, 0.5 * len(folds) + 0.9)
        axes.pcolormesh(values, cmap=shades, vmin=0, vmax=100, edgecolors="white", linewidth=1)
        for (row, column), value in np.ndenumerate(values):
            color = "white" if value > 85 else "black"
            axes.text(column + 0.5, row + 0.5, f"{value:.1f}", ha="center", va="center", color=color, fontsize=9)
        axes.set_xticks(np.arange(len(experts)) + 0.5, [_short(name) for name in experts])
        axes.set_yticks(np.arange(len(folds)) + 0.5, list(folds))
        axes.tick_params(length=0)
        axes.invert_yaxis()
        axes.set_xlabel("classified by expert (%)")
        axes.set_ylabel("test samples of")
    return figure


def confidence_figure(edges: Sequence[float], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Figure 5: histograms of the maximum softmax probability of two experts on the same samples, one above the other."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_COLUMN, 2.6), layout="constrained")
        FigureCanvasAgg(figure)
        all_axes = figure.subplots(len(counts), 1, sharex=True, sharey=True)
        colors = (FOLD_COLORS["many"], FOLD_COLORS["few"])
        for axes, (name, values), color in zip(all_axes, counts.items(), colors, strict=True):
            share = np.asarray(values) / max(1, sum(values))
            axes.bar(edges[:-1], share, np.diff(edges), align="edge", color=color, edgecolor="white", linewidth=0.4)
            axes.set_title(f"expert {_short(name)}", loc="right")
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        all_axes[-1].set_xlabel("maximum softmax probability")
        all_axes[-1].set_xlim(0, 1)
        figure.supylabel("share of the samples", fontsize=8)
    return figure


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` as PNG and, for print, the same as PDF beside it; both without a date. Raises DataError."""
    png, pdf = path.with_suffix(".png"), path.with_suffix(".pdf")
    with matplotlib.rc_context(_STYLE):
        with written_beside(png) as beside:
            figure.savefig(beside, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        with written_beside(pdf) as beside:
            no_date = {"CreationDate": None, "Producer": None, "Creator": None}
            figure.savefig(beside, format="pdf", metadata=no_date)
    return [png, pdf]


def _figure(width: float, height: float, widths: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """A figure in inches with axes side by side, of these relative widths and one scale."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0])


def _short(member: str) -> str:
    """``many`` of ``experts/many``."""
    return member.rpartition("/")[2]
