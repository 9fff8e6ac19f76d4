"""The top-level command: global options, and subcommands that are imported when they are invoked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich_click import RichCommand, RichGroup

from ltbench.cli.options import Command, Group
from ltbench.errors import UsageError

if TYPE_CHECKING:
    from ltbench.registry.manager import Plugins

COMMANDS: dict[str, dict[str, str]] = {
    "Measure": {
        "run": "Train what is missing, fuse, evaluate, leave records.",
        "fuse": "Apply another fuser to logits that are there.",
        "analyze": "Oracle, expert confusion, confidence, leave-one-out for a run.",
        "reproduce": "Run all that a table of the paper needs, and print it.",
    },
    "Results": {
        "leaderboard": "Rank what was measured; write or check LEADERBOARD.md.",
        "compare": "The paired difference between two rows or records.",
        "verify": "Recompute what a record says.",
    },
    "What there is": {
        "list": "List methods, fusers, datasets, plugins or runs.",
        "show": "Everything about one method, fuser or dataset.",
        "data": "List, fetch, check, pack, describe datasets.",
    },
    "Installation": {
        "doctor": "Check this installation, its plugins and the machine.",
        "plugin": "Start a plugin, or test one.",
    },
}
"""Panel of the help -> command -> its line there. ``ltbench.cli.commands.<command>`` holds it as ``command``."""

PLUGIN_PANEL = "From plugins"


@dataclass
class Session:
    """What the global options leave for the error handling."""

    debug: bool = False


class Stub(Command):
    """Stands for a command in the list of commands; :meth:`load` imports it."""

    def load(self) -> click.Command:
        command: click.Command = import_module(f"ltbench.cli.commands.{self.name}").command
        return command


class LazyGroup(Group):
    """A group whose own commands are stubs until invoked, and which plugins add commands to."""

    group_class = RichGroup
    _asked: Plugins | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._ask_plugins()
        return [*self.commands]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            self._ask_plugins()
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Stub) else command, rest

    def add_command(
        self,
        cmd: click.Command,
        name: str | None = None,
        aliases: Iterable[str] | None = None,
        panel: str | list[str] | None = None,
    ) -> None:
        """Add a plugin's command. Raises ValueError for a name that is taken: no plugin replaces a command."""
        if (name or cmd.name) in self.commands:
            raise ValueError(f"there is already a command '{name or cmd.name}'")
        panel = panel or getattr(cmd, "panel", None) or PLUGIN_PANEL
        if isinstance(cmd, RichCommand):
            cmd.panel = panel
        super().add_command(cmd, name, aliases=aliases, panel=panel)

    def _ask_plugins(self) -> None:
        """Let the plugins of this process add their commands, once."""
        from ltbench.registry.manager import plugins

        found = plugins()
        if found is not self._asked:
            self._asked = found
            for name in [name for name, command in self.commands.items() if not isinstance(command, Stub)]:
                del self.commands[name]
            found.call("ltbench_commands", cli=self)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"ltbench {version('ltbench')}")
        ctx.exit()


def _use_files(ctx: click.Context, _: click.Parameter, files: tuple[Path, ...]) -> None:
    if files:
        from ltbench.registry.manager import use_plugin_files

        use_plugin_files(files)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "rich_help_config": {
            "text_paragraph_linebreaks": "\n\n",
            "padding_helptext_first_line": (0, 0, 1, 0),
            "style_commands_table_column_width_ratio": (1, 5),
            "max_width": 120,
        },
    },
)
@click.option(
    "--plugin",
    "plugin_files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_use_files,
    help="Load a plugin from a Python file, too. May be repeated.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of every error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """A benchmark harness for long-tailed image recognition.

    A method trains one or more classifiers, a fuser turns their logits into one posterior; both are plugins.

    Start with: ltbench run --method experts --fuser joint
    """
    ctx.ensure_object(Session).debug = debug
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(UsageError.exit_code)


for _panel, _commands in COMMANDS.items():
    for _name, _summary in _commands.items():
        cli.add_command(Stub(_name, help=_summary, panel=_panel))
