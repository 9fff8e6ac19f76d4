"""Figure: real against synthetic features of a few classes, on the principal components of the real ones."""

from pathlib import Path

import torch
from torch import Tensor

from ltbench.common.files import written_beside

SHOWN_CLASSES = 6
COLUMNS = 3
SHOWN_SAMPLES = 150
"""Most samples of a class and kind that are drawn."""


def draw_features(
    path: Path, real: Tensor, real_labels: Tensor, synthetic: Tensor, synthetic_labels: Tensor, names: list[str]
) -> None:
    """Write the figure, one panel a class from the most to the least frequent, all on the same axes.

    Args:
        path: file to write; its suffix decides the format.
        real: float[N, D] with labels int64[N].
        synthetic: float[S, D] with labels int64[S].
        names: of all classes.
    """
    # Without pyplot: no state outside this function, no display.
    from matplotlib.figure import Figure

    shown = _classes_to_show(real_labels, synthetic_labels)
    points = real[torch.isin(real_labels, shown)]
    centre = points.mean(dim=0)
    components = torch.linalg.eigh((points - centre).T @ (points - centre)).eigenvectors[:, [-1, -2]]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.6 * columns + 0.4, 2.6 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, label in zip(panels, shown.tolist(), strict=False):
        own, made = real[real_labels == label], synthetic[synthetic_labels == label]
        panel.scatter(*((points - centre) @ components).T, s=3, color="0.85", label="real, all of these classes")
        panel.scatter(*((made[:SHOWN_SAMPLES] - centre) @ components).T, s=6, alpha=0.5, label="synthetic")
        panel.scatter(*((own[:SHOWN_SAMPLES] - centre) @ components).T, s=14, marker="x", label="real, this class")
        panel.set_title(f"{names[label]} (n = {len(own)})", parse_math=False)
    for unused in panels[len(shown) :]:
        unused.set_axis_off()
    figure.supxlabel("1st principal component")
    figure.supylabel("2nd principal component")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    with written_beside(path, durable=False) as beside:
        figure.savefig(beside, format=path.suffix[1:], dpi=120)


def _classes_to_show(real_labels: Tensor, synthetic_labels: Tensor) -> Tensor:
    """Of the classes with synthetic features a few at equal steps from the most to the least frequent: int64[<= 6]."""
    augmented = synthetic_labels.unique()
    counts = torch.bincount(real_labels, minlength=int(augmented.max()) + 1)[augmented]
    ranked = augmented[torch.argsort(counts, descending=True, stable=True)]
    positions = torch.linspace(0, len(ranked) - 1, min(SHOWN_CLASSES, len(ranked))).round().long()
    return ranked[positions]
