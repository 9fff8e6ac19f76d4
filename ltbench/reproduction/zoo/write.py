"""The files of the zoo: a page, its plots in a folder beside it; and whether they are what the records give."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ltbench.common.files import write_json, write_text
from ltbench.report.figure_data import write_csv
from ltbench.report.scatter import Scatter
from ltbench.reproduction.zoo.page import page
from ltbench.reproduction.zoo.plots import is_of, plots_of, write_plot
from ltbench.reproduction.zoo.text import csv_lines

PAGE_NAME, JSON_NAME = "METHODS.md", "zoo.json"


def write_page(document: Mapping[str, Any], path: Path, command: str) -> list[Path]:
    """The page and its plots. Raises DataError when the place cannot be written."""
    plots = _plots(document, path)
    text = page(document, command, {key: _from(path, place) for key, (place, _) in plots.items()})
    return [write_text(path, text), *(write_plot(scatter, place) for place, scatter in plots.values())]


def stale(document: Mapping[str, Any], path: Path, command: str) -> list[Path]:
    """Files that :func:`write_page` would change."""
    plots = _plots(document, path)
    text = page(document, command, {key: _from(path, place) for key, (place, _) in plots.items()})
    found = [] if path.is_file() and path.read_bytes() == text.encode() else [path]
    return found + [place for place, scatter in plots.values() if not is_of(scatter, place)]


def write(document: Mapping[str, Any], folder: Path, command: str) -> list[Path]:
    """The page as ``METHODS.md``, its numbers as JSON and, board by board, as CSV. Raises DataError."""
    files = write_page(document, folder / PAGE_NAME, command)
    write_json(folder / JSON_NAME, document)
    tables = [
        write_csv(folder / "tables" / f"{slug}.csv", csv_lines(document, board))
        for slug, board in zip(_slugs(document), document["boards"], strict=True)
    ]
    return [*files, folder / JSON_NAME, *tables]


def _plots(document: Mapping[str, Any], page_path: Path) -> dict[tuple[int, str], tuple[Path, Scatter]]:
    folder = page_path.with_suffix("")
    return {
        (number, kind): (folder / f"{slug}-{kind}.png", scatter)
        for number, (slug, board) in enumerate(zip(_slugs(document), document["boards"], strict=True))
        for kind, scatter in plots_of(document, board).items()
    }


def _from(page_path: Path, place: Path) -> str:
    return place.relative_to(page_path.parent).as_posix()


def _slugs(document: Mapping[str, Any]) -> Iterator[str]:
    """``glyphs-lt``, and ``glyphs-lt-2`` for a second board of the same dataset."""
    seen: dict[str, int] = {}
    for board in document["boards"]:
        name = board["dataset"].replace(":", ".")
        seen[name] = seen.get(name, 0) + 1
        yield f"zoo-{name}" + (f"-{seen[name]}" if seen[name] > 1 else "")
