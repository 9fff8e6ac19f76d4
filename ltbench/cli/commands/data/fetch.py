"""``ltbench data fetch``: download annotation lists, verified, without importing torch; small image sets by torchvision."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ltbench.cli.options import FOLDER, Command, json_option

EPILOG = """
Examples:

  ltbench data fetch places-lt

  ltbench data fetch cifar100-lt

  ltbench data fetch imagenet-lt --folder /data/imagenet/lists
"""


@click.command("fetch", cls=Command, epilog=EPILOG)
@click.argument("name")
@click.option(
    "--folder",
    type=FOLDER,
    help="Where to put them; by default the cache, where every command finds them.",
)
@json_option("Print what was done as JSON.")
def command(name: str, folder: Path | None, as_json: bool) -> None:
    """Download the annotation lists of a benchmark: which images are in which split, and their labels.

    They come from the public repositories that hold them, and each is kept only if its hash is the published one. Their
    images are never downloaded: 'ltbench data check NAME' says where they come from. Of cifar10-lt,
    cifar100-lt and fashion-mnist-lt the images themselves are fetched, by torchvision.
    """
    from ltbench.cli.output import print_json
    from ltbench.errors import UsageError, did_you_mean
    from ltbench.registry.manager import plugins

    datasets = plugins().datasets
    origin = datasets.origin(name)
    if origin is None:
        fetched = [known for known in datasets.names() if datasets.get(known).spec.origin]
        raise UsageError(
            f"there is nothing to fetch for '{name}'.{did_you_mean(name, fetched)} Datasets with files to fetch: "
            f"{', '.join(fetched)}. 'ltbench show NAME' says what another dataset needs."
        )
    done = []
    for file, outcome in origin.fetch(folder):
        done.append({"file": str(file), "outcome": outcome})
        if not as_json:
            click.echo(f"{file}: {outcome}")
    if as_json:
        print_json(done)
