"""``ltbench list``: what can be named, what is installed, what was run. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.options import Command, json_option

if TYPE_CHECKING:
    from ltbench.registry.lookup import Registered, Registry

EPILOG = """
Examples:

  ltbench list methods

  ltbench list runs --json
"""

NAMED = ("methods", "fusers", "datasets")


@click.command("list", cls=Command, epilog=EPILOG)
@click.argument("what", type=click.Choice([*NAMED, "plugins", "runs"]))
@json_option("Print the list as JSON.")
def command(what: str, as_json: bool) -> None:
    """List methods, fusers, datasets, plugins or runs.

    Runs are those in the cache, newest first; 'ltbench fuse' and 'ltbench analyze' take their names.
    """
    if what == "plugins":
        print_plugins(as_json)
    elif what == "runs":
        print_runs(as_json)
    else:
        print_named(what, as_json)


def print_named(what: str, as_json: bool) -> None:
    """The entries of one registry."""
    from ltbench.cli.output import console, print_json, table
    from ltbench.registry.lookup import none_installed
    from ltbench.registry.manager import plugins

    registry: Registry[Any] = getattr(plugins(), what)
    entries = registry.entries()
    if as_json:
        print_json(
            [{**asdict(entry.spec), "name": registry.name_of(entry), "provider": _provider(entry)} for entry in entries]
        )
    elif not entries:
        click.echo(none_installed(registry.kind))
    else:
        rows = [
            (registry.name_of(entry), entry.spec.summary, entry.spec.paper, entry.plugin.provider) for entry in entries
        ]
        console().print(table(("name", "summary", "paper", "provided by"), rows))
        console().print(f"'ltbench show NAME' tells the rest about a {registry.kind}.", style="dim")


def _provider(entry: Registered[Any]) -> dict[str, str]:
    return {"plugin": entry.plugin.name, "distribution": entry.plugin.distribution, "version": entry.plugin.version}


def print_plugins(as_json: bool) -> None:
    """What became of each plugin."""
    from ltbench.cli.output import console, print_json, status_text, table
    from ltbench.registry.lookup import none_installed
    from ltbench.registry.manager import examine_plugins

    found = examine_plugins()
    if as_json:
        print_json([asdict(record) for record in found.records])
    elif not found.records:
        click.echo(none_installed("plugin"))
    else:
        rows = [(r.name, r.distribution, r.version, r.source, status_text(r.status), r.error) for r in found.records]
        console().print(table(("plugin", "distribution", "version", "module", "status", "what is wrong"), rows))


def print_runs(as_json: bool) -> None:
    """The runs in the cache, newest first."""
    from ltbench.cli.output import console, print_json, table
    from ltbench.common.cache import cache_dir

    root = cache_dir() / "runs"
    runs = sorted(_read_runs(), key=lambda run: str(run.get("created", "")), reverse=True)
    if as_json:
        print_json(runs)
    elif not runs:
        click.echo(f"no run yet in {root}. Start with: ltbench run --method experts --fuser joint")
    else:
        columns = ("run", "created", "dataset", "methods", "fusers", "seed", "All %")
        console().print(table(columns, map(_run_row, runs)))


def _read_runs() -> list[dict[str, Any]]:
    from ltbench.common.cache import cache_dir
    from ltbench.errors import DataError
    from ltbench.results.runs import read_run

    runs = []
    for path in (cache_dir() / "runs").glob("*/run.json"):
        try:
            runs.append({"name": path.parent.name, **read_run(path.parent)})
        except DataError as error:
            print(f"ltbench: {error}", file=sys.stderr)
    return runs


def _run_row(run: dict[str, Any]) -> Sequence[str]:
    methods, accuracy = run.get("methods", []), run.get("all", {})
    fusers = run.get("fusers", []) or ["none"] * bool(methods)
    together = "+".join(methods)
    own = [accuracy.get(together if fuser == "none" else f"{together} / {fuser}") for fuser in fusers]
    return (
        run["name"],
        str(run.get("created", "")).replace("T", " ")[:16],
        run.get("dataset", ""),
        together,
        ", ".join(fusers),
        str(run.get("seed", "")),
        ", ".join("-" if value is None else f"{value:.1f}" for value in own),
    )
