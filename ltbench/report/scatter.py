"""Points with their names beside them, for a page: PNG that says of which numbers it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from PIL import Image, UnidentifiedImageError

from ltbench.common.files import written_beside
from ltbench.report.figures import FOLD_COLORS

_STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6}

_PLACES = [(dx, dy) for reach in (5, 11, 18) for dx, dy in product((reach, -reach, 0), (0, reach, -reach)) if dx or dy]
"""Where a name may stand beside its point, in printer's points, the first that is free."""


@dataclass(frozen=True)
class Scatter:
    """What is drawn.

    Attributes:
        points: name -> (x, y).
        x, y: names of the axes.
        marked: names that the others are compared with.
        log: the x axis is logarithmic.
    """

    points: Mapping[str, tuple[float, float]]
    x: str
    y: str
    marked: set[str] = field(default_factory=set)
    log: bool = False

    def plain(self) -> dict[str, Any]:
        """The same as plain values."""
        points = {name: [*map(float, point)] for name, point in self.points.items()}
        return {"points": points, "axes": [self.x, self.y], "marked": sorted(self.marked), "log": self.log}


def scatter_figure(scatter: Scatter) -> Figure:
    """Names are put where they cover neither points nor each other, as far as there is room."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.0, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for name, (x, y) in scatter.points.items():
            marked = name in scatter.marked
            axes.plot(x, y, "D" if marked else "o", color=FOLD_COLORS["medium" if marked else "many"], markersize=4)
        if scatter.log:
            axes.set_xscale("log")
        axes.margins(x=0.12, y=0.08)
        axes.set_xlabel(scatter.x)
        axes.set_ylabel(scatter.y)
        axes.grid(alpha=0.25, linewidth=0.4)
        figure.draw_without_rendering()
        _name_points(axes, scatter.points)
    return figure


def _name_points(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    spots = [axes.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in spots]
    for name, point in points.items():
        text = axes.annotate(name, point, _PLACES[0], textcoords="offset points", fontsize=6)
        boxes = {place: _placed(text, place) for place in _PLACES}
        costs = {
            place: _outside(box, axes.bbox) + sum(_covered(box, one) for one in taken) for place, box in boxes.items()
        }
        taken.append(_placed(text, min(_PLACES, key=costs.__getitem__)))


def _placed(text: Annotation, place: tuple[int, int]) -> Bbox:
    """Where it stands in pixels."""
    dx, dy = place
    text.set_position(place)
    text.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
    text.set_verticalalignment("bottom" if dy > 0 else "top" if dy < 0 else "center")
    return text.get_window_extent()


def _covered(box: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(box, other)
    return 0.0 if both is None else float(both.width * both.height)


def _outside(box: Bbox, frame: Any) -> float:
    return float(box.width * box.height) - _covered(box, frame)


def write_png(figure: Figure, path: Path, about: str) -> Path:
    """Without a date; ``about`` goes into its metadata. Raises DataError."""
    with written_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=150, metadata={"Software": None, "Description": about})
    return path


def read_about(path: Path) -> str | None:
    """What :func:`write_png` was told; None where the file is no such image."""
    try:
        with Image.open(path) as image:
            found = image.info.get("Description")
    except (OSError, UnidentifiedImageError):
        return None
    return found if isinstance(found, str) else None
