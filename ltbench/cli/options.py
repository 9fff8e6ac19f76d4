"""Options that several commands have, each declared once. Where a command means its own by one, it gives the text.

Commands and groups are of the classes here, which refuse a second value for an option that has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click
from rich_click import RichCommand, RichGroup


class Command(RichCommand):
    """A command of ltbench. Giving an option that takes one value twice is an error, not a choice of the last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(RichGroup):
    """A group of such commands."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


def refuse_repeated(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """Raise click.UsageError for an option given twice, unless it collects values or is a mere flag."""
    _, _, given = command.make_parser(ctx).parse_args(args=list(args))
    for option in given:
        if isinstance(option, click.Option) and not (option.multiple or option.is_flag) and given.count(option) > 1:
            raise click.UsageError(
                f"{max(option.opts, key=len)} is given {given.count(option)} times; give it once.", ctx
            )


FOLDER = click.Path(path_type=Path, file_okay=False)
BAD_IMAGE = click.Choice(["error", "skip"])

data_root_option = click.option("--data-root", type=FOLDER, help="Folder of the dataset's images.")

_SETTINGS = (
    click.option("-d", "--dataset", metavar="NAME", help="The dataset; glyphs-lt unless a file says otherwise."),
    click.option("--data-root", "root", type=FOLDER, help="Folder of the dataset's images."),
    click.option(
        "--on-bad-image",
        type=BAD_IMAGE,
        help="A missing or unreadable image file: end the run (default), or check all images first, leave such ones out and "
        "name them in the record.",
    ),
    click.option(
        "--recipe",
        metavar="DATASET",
        help="Take the recipes of this dataset in place of the dataset's own: --dataset folder --recipe glyphs-lt.",
    ),
    click.option("-b", "--backbone", metavar="TIMM_NAME", help="Any timm model; by default the recipe's."),
    click.option(
        "-c",
        "--config",
        "config_files",
        type=click.Path(path_type=Path, dir_okay=False),
        multiple=True,
        help="A TOML file of settings, above the recipes. Several lie on each other, the later above the earlier.",
    ),
)


def settings_options(set_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that speak of a run's settings, ``--set`` with this text last; a command gets all as ``asked``, a Request."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(**given: Any) -> Any:
            from ltbench.settings.request import Request

            said = {field.name: given.pop(field.name) for field in fields(Request)}
            return command(asked=Request(**said), **given)

        for option in reversed((*_SETTINGS, set_option(set_text))):
            call = option(call)
        return call

    return decorate


num_processes_option = click.option(
    "--num-processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train with so many processes on this machine.",
)
oversubscribe_option = click.option(
    "--oversubscribe", is_flag=True, help="Allow more --num-processes than this command may use cores."
)
records_option = click.option(
    "--results", type=FOLDER, help="Folder of records; LTBENCH_RESULTS, ./results or the cache by default."
)


def results_option(text: str = "Also write the records below this folder.") -> Any:
    """``--results`` of a command that makes records."""
    return click.option("--results", type=FOLDER, help=text)


def set_option(text: str, metavar: str = "KEY=VALUE") -> Any:
    """``--set``, any number of times; the command's parameter is ``overrides``."""
    return click.option("--set", "overrides", multiple=True, metavar=metavar, help=text)


def json_option(text: str = "Print the result as JSON.") -> Any:
    """``--json``; the command's parameter is ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=text)
