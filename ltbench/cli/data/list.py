"""``ltbench data list``: the datasets, and whether their lists and images are found. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ltbench.cli.options import FOLDER, Command, json_option

if TYPE_CHECKING:
    from ltbench.data.published import Benchmark

EPILOG = """
Examples:

  ltbench data list

  ltbench data list --data-root /data/imagenet --json
"""


@dataclass(frozen=True)
class Found:
    """A dataset, and what is there of it; ``lists`` and ``images`` are empty for one that is not made of published lists."""

    name: str
    summary: str
    lists: str
    images: str


@click.command("list", cls=Command, epilog=EPILOG)
@click.option("--data-root", type=FOLDER, help="Folder to look for images and lists in.")
@json_option("Print the list as JSON.")
def command(data_root: Path | None, as_json: bool) -> None:
    """List the datasets, and whether their annotation lists and images are found.

    Lists are looked for in the data root, its folder 'lists', and where 'ltbench data fetch' puts them. Of the images only
    the folders are looked for; 'ltbench data check' looks at each.
    """
    from ltbench.cli.output import console, print_json, table
    from ltbench.data.published import BENCHMARKS
    from ltbench.manager import plugins

    datasets = plugins().datasets
    rows = []
    for entry in datasets.entries():
        # another plugin's dataset of the same name is not this benchmark
        shipped = entry.spec.target.startswith("ltbench.data.benchmarks:")
        lists, images = describe(BENCHMARKS[entry.spec.name], data_root) if shipped else ("", "")
        rows.append(Found(datasets.name_of(entry), entry.spec.summary, lists, images))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    screen = console()
    screen.print(
        table(
            ("dataset", "what it is", "lists", "images"),
            [(row.name, row.summary, row.lists or "-", row.images or "-") for row in rows],
        )
    )
    screen.print("'ltbench show NAME' lists a dataset's options, 'ltbench data stats NAME' its classes.", style="dim")


def describe(benchmark: Benchmark, root: Path | None) -> tuple[str, str]:
    """In words: which lists are there, and which of the folders of images."""
    from ltbench.data.image_location import present_layouts
    from ltbench.data.list_files import find_list, list_folders

    folders = list_folders(benchmark, root, None)
    gone = [file for name, file in benchmark.lists.items() if find_list(benchmark, name, folders) is None]
    lists = f"missing: {', '.join(gone)}; 'ltbench data fetch {benchmark.name}'" if gone else "found"
    if root is None:
        return lists, "not looked for: give --data-root"
    sources = dict.fromkeys(benchmark.sources.values())
    places = [next(present_layouts(benchmark, source, root), None) for source in sources]
    if None in places:
        missing = [source.download for source, place in zip(sources, places, strict=True) if place is None]
        return lists, f"missing: {'; '.join(missing)}"
    return lists, f"folders found: {', '.join(str(place) for place in places)}"
