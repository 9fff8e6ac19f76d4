"""``ltbench doctor``: what is installed, what the machine has, and what became of every plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import rich_click as click

from ltbench.cli.options import Command, json_option

if TYPE_CHECKING:
    from rich.console import Console

    from ltbench.plugin import Check
    from ltbench.registry.lookup import PluginRecord


@click.command("doctor", cls=Command)
@json_option("Print the findings as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check this installation: versions, device, memory, cache, and every plugin with all that it registers.

    Prints the traceback of a broken plugin. Exit code 3 when a plugin is broken or incompatible.
    """
    from ltbench.cli import diagnosis
    from ltbench.cli.output import print_json
    from ltbench.errors import PluginError
    from ltbench.registry.manager import examine_plugins

    plugins = examine_plugins()
    plugins.import_targets()
    sections = {
        "versions": diagnosis.versions(),
        "machine": [*diagnosis.machine(), diagnosis.cache()],
        "checks": diagnosis.plugin_checks(plugins),
    }
    if as_json:
        findings = {title: [asdict(check) for check in checks] for title, checks in sections.items()}
        print_json({**findings, "plugins": [asdict(record) for record in plugins.records]})
    else:
        _print(sections, plugins.records)
    if plugins.lost():
        ctx.exit(PluginError.exit_code)


def _print(sections: dict[str, list[Check]], records: Sequence[PluginRecord]) -> None:
    from rich.text import Text

    from ltbench.cli.output import console, status_text, table

    screen = console()
    for title, checks in sections.items():
        if checks:
            _print_checks(screen, title, checks)
    rows = [(r.name, r.provider, r.source, status_text(r.status), r.error) for r in records]
    if rows:
        screen.print(table(("plugin", "provided by", "module", "status", "what is wrong"), rows, "plugins"))
    else:
        screen.print(Text("plugins", "bold"))
        screen.print("  none is installed: there are no methods, fusers or datasets.\n")
    for record in records:
        if record.traceback:
            screen.print(Text(str(record), "bold red"))
            screen.print(record.traceback, soft_wrap=True)
    _print_verdict(screen, [check for checks in sections.values() for check in checks], records)


def _print_checks(screen: Console, title: str, checks: Sequence[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for check in checks:
        mark = Text("ok", style="green") if check.ok else Text("!!", style="bold red")
        grid.add_row("", mark, Text(check.name, style="cyan"), Text(check.detail, overflow="fold"))
    screen.print(Text(title, "bold"))
    screen.print(grid)
    screen.print()


def _print_verdict(screen: Console, checks: Sequence[Check], records: Sequence[PluginRecord]) -> None:
    from rich.text import Text

    failed = [check.name for check in checks if not check.ok]
    failed += [str(record) for record in records if not record.usable and record.status != "disabled"]
    if failed:
        screen.print(Text.assemble((f"{len(failed)} to look at:", "bold red"), f" {', '.join(failed)}"), soft_wrap=True)
    else:
        screen.print(Text("All is well.", "green"))
