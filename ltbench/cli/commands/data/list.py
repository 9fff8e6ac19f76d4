"""``ltbench data list``: the datasets, and whether their lists and images are found. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import rich_click as click

from ltbench.cli.options import FOLDER, Command, json_option

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
    from ltbench.registry.manager import plugins

    datasets = plugins().datasets
    rows = []
    for entry in datasets.entries():
        name = datasets.name_of(entry)
        origin = datasets.origin(name)
        lists, images = origin.found(data_root) if origin else ("", "")
        rows.append(Found(name, entry.spec.summary, lists, images))
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
