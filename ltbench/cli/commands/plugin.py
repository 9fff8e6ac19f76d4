"""``ltbench plugin``: start a plugin, or run the contract suite on one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ltbench.cli.options import FOLDER, Command, Group, set_option
from ltbench.cli.skeletons import KINDS

if TYPE_CHECKING:
    from ltbench.errors import LtbenchError
    from ltbench.testing.contracts import Contract

NEW_EPILOG = f"""
Kinds:

{"".join(f"  {kind:<14}{about.what}{chr(10)}{chr(10)}" for kind, about in KINDS.items())}
Examples:

  ltbench plugin new my-loss

  ltbench plugin new my-heads --kind second-stage --directory ~/plugins

  pip install -e my-loss && ltbench plugin test my-loss && pytest my-loss
"""

TEST_EPILOG = """
Examples:

  ltbench plugin test my-loss

  ltbench plugin test my_loss.py --set my-loss.tau=0.5

  ltbench plugin test docs/examples/vit_adapters.py --backbone vit_tiny_patch16_224 --set backbone.kwargs.img_size=16

  ltbench plugin test my-data --data-root ~/images --set dataset.options.val_per_class=5

Methods are trained on drawn patterns of six classes: grey images of 16 x 16 pixels, 120 to 6 a class for training. Unless --set
says more, trainings are cut to 2 epochs and the network is a narrow ResNet-10. Exit code 3 when something fails, 4 when
nothing does but a dataset could not be tried because its images are not there.
"""


@click.group("plugin", cls=Group)
def command() -> None:
    """Start a plugin, or test one."""


@command.command("new", cls=Command, epilog=NEW_EPILOG)
@click.argument("name")
@click.option(
    "--kind", type=click.Choice([*KINDS]), default="loss", show_default=True, help="What it adds; see the list below."
)
@click.option("--directory", type=FOLDER, default=".", help="Where to put the folder.")
def new(name: str, kind: str, directory: Path) -> None:
    """Write a package that works at once: a method, fuser or dataset of that name with its tests, to be changed into yours.

    NAME is what 'ltbench run' will take: lower case letters, digits, '-' and '_'.
    """
    from ltbench.cli.skeletons import write_skeleton

    folder = directory / name
    for path in write_skeleton(name, kind, folder):
        click.echo(f"wrote {path}")
    run = KINDS[kind].run.format(name=name)
    click.echo(
        f"\nNext:\n  pip install -e {folder}\n  ltbench plugin test {name}\n  pytest {folder}\n  ltbench run {run}"
    )


@command.command("test", cls=Command, epilog=TEST_EPILOG)
@click.argument("target", metavar="NAME_OR_FILE")
@click.option(
    "-b", "--backbone", metavar="TIMM_NAME", help="What methods are trained with, where not any network will do."
)
@set_option("A setting of the test: NAME.KEY of a method or fuser, backbone.KEY, dataset.options.KEY.")
@click.option("--data-root", type=FOLDER, help="Folder of a dataset's images.")
@click.pass_context
def test(
    ctx: click.Context, target: str, backbone: str | None, overrides: tuple[str, ...], data_root: Path | None
) -> None:
    """Run the contract suite: does it keep the promises on which comparisons rest?

    NAME_OR_FILE is the name of a method, fuser or dataset; an installed distribution, all of whose things are tested; a Python
    file; or the folder of a package's pyproject.toml.
    """
    from ltbench.errors import DataError, PluginError
    from ltbench.testing.contracts import found, made

    records, entries = found(target)
    contracts = made(entries, backbone=backbone, overrides=overrides, data_root=data_root)
    broken = [record for record in records if not record.usable]
    for record in records:
        _say("FAILED" if record in broken else "ok", str(record), f"{record.status}: {record.error}")
    codes = {PluginError.exit_code} if broken else set()
    for contract, problem in outcomes(contracts):
        untried = isinstance(problem, DataError)
        _say("ok" if problem is None else "not tried" if untried else "FAILED", str(contract), str(problem))
        codes |= {DataError.exit_code if untried else PluginError.exit_code} if problem is not None else set()
    if codes:
        ctx.exit(min(codes))


def outcomes(contracts: list[Contract]) -> Iterator[tuple[Contract, LtbenchError | AssertionError | None]]:
    """Each contract and what is wrong. A DataError: there was nothing to check a dataset on."""
    from ltbench.errors import DataError, LtbenchError, PluginError
    from ltbench.registry.lookup import one_line

    for contract in contracts:
        problem: LtbenchError | AssertionError | None = None
        try:
            contract.check()
        except (AssertionError, LtbenchError) as error:
            lost = isinstance(error, DataError) and contract.kind != "dataset"
            problem = PluginError(str(error)) if lost else error
        except Exception as error:
            problem = PluginError(one_line(error))
        yield contract, problem


def _say(verdict: str, what: str, why: str) -> None:
    colour = {"ok": "green", "FAILED": "red"}.get(verdict, "yellow")
    click.secho(f"{verdict:<8}" if len(verdict) < 8 else f"{verdict} ", fg=colour, nl=False)
    click.echo(what if verdict == "ok" else f"{what}: {why}")
