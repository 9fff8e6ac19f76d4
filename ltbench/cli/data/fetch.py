"""``ltbench data fetch``: download annotation lists, verified. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

EPILOG = """
Examples:

  ltbench data fetch places-lt

  ltbench data fetch imagenet-lt --folder /data/imagenet/lists
"""


@click.command("fetch", epilog=EPILOG)
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to put the lists; by default the cache, where every command finds them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(name: str, folder: Path | None, as_json: bool) -> None:
    """Download the annotation lists of a benchmark: which images are in which split, and their labels.

    They come from the public repositories that hold them, and each is kept only if its hash is the published one. Images
    are never downloaded: 'ltbench data check NAME' says where they come from.
    """
    from ltbench.cli.output import print_json
    from ltbench.data.facts import known_lists
    from ltbench.data.fetching import fetch_lists
    from ltbench.data.list_files import fetched_folder
    from ltbench.data.published import BENCHMARKS
    from ltbench.errors import UsageError, did_you_mean

    if name not in BENCHMARKS:
        raise UsageError(
            f"there are no lists to fetch for '{name}'.{did_you_mean(name, BENCHMARKS)} Datasets with published lists: "
            f"{', '.join(BENCHMARKS)}. 'ltbench show NAME' says what another dataset needs."
        )
    benchmark = BENCHMARKS[name]
    done = []
    for file, outcome in fetch_lists(benchmark, known_lists(name), folder or fetched_folder(benchmark)):
        done.append({"file": str(file), "outcome": outcome})
        if not as_json:
            click.echo(f"{file}: {outcome}")
    if as_json:
        print_json(done)
