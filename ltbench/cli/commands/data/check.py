"""``ltbench data check``: whether the lists are the published ones, and the images are there and can be decoded."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ltbench.cli.commands.data.opening import ask, dataset_set_option, open_dataset
from ltbench.cli.options import Command, data_root_option, json_option

EPILOG = """
Examples:

  ltbench data check places-lt --data-root /data/places

  ltbench data check imagenet-lt --data-root /data/imagenet --set lists=/data/lists --no-decode

  ltbench data check folder --data-root photos --json
"""


@click.command("check", cls=Command, epilog=EPILOG)
@click.argument("name")
@data_root_option
@dataset_set_option
@click.option("--no-decode", is_flag=True, help="Look whether the images are there, but do not read them.")
@json_option("Print everything that was found as JSON.")
def command(name: str, data_root: Path | None, overrides: tuple[str, ...], no_decode: bool, as_json: bool) -> None:
    """Check a dataset: its lists, whether every image is there, and whether it can be decoded.

    A list is compared with the published ones by its hash; any published spelling of the paths serves any layout of the
    images. One that equals none of them is searched for what differs: lines, labels, images of each class, and line by line
    where a published copy was fetched or lies beside it. Exit code 4 when something is wrong.
    """

    from ltbench.cli.output import print_json
    from ltbench.engine.machine.progress import Reporter
    from ltbench.errors import DataError

    dataset = open_dataset(name, data_root, overrides, on_bad_image="skip")
    dataset.progress = Reporter(quiet=as_json).steps
    with ask(dataset, "check"):
        report = dataset.check(decode=not no_decode)
    if as_json:
        print_json({"dataset": name, "ok": not report.wrong, "lists": [], "images": [], "opened": {}, **report.found})
    else:
        for line in report.lines:
            click.echo(line)
    if report.wrong:
        raise DataError(f"{name}: {report.wrong}.")
