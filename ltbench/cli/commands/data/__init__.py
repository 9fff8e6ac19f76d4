"""``ltbench data``: the datasets, what they need, whether it is there. One file a subcommand."""

import rich_click as click

from ltbench.cli.commands.data import check, fetch, pack, stats
from ltbench.cli.commands.data import list as listing
from ltbench.cli.options import Group

EPILOG = """
Examples:

  ltbench data list --data-root /data/places

  ltbench data fetch places-lt

  ltbench data check places-lt --data-root /data/places

  ltbench data pack places-lt --data-root /data/places

  ltbench data stats places-lt --figure places.png
"""


@click.group("data", cls=Group, epilog=EPILOG)
def command() -> None:
    """List, fetch, check, pack, describe datasets.

    Images of ImageNet-LT, Places-LT and iNaturalist 2018 are never downloaded: their owners hand them out. What makes the
    benchmarks, the lists of which images belong to which split, is public, and 'fetch' gets it.
    """


for _part in (listing, fetch, check, pack, stats):
    command.add_command(_part.command)
