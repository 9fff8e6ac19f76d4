"""What ``ltbench reproduce zoo`` prints and writes: after a run, or of records alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.errors import LtbenchError, UsageError
from ltbench.reproduction import spec

if TYPE_CHECKING:
    from ltbench.reproduction.collect import Collected

COMMAND = "ltbench reproduce zoo --page FILE"
"""As it stands on the page: the same wherever that and the records lie."""


def page_of_records(targets: tuple[str, ...], results: Path | None, page: Path | None, check: bool) -> None:
    """Write the page of the records below ``results``, or see whether it is stale. Nothing is run.

    Raises:
        UsageError: another target, no page, or an option that only a run has.
        LtbenchError: with ``check``, the page is not what the records give.
    """
    from ltbench.reproduction.zoo.document import document
    from ltbench.reproduction.zoo.rows import boards_of
    from ltbench.reproduction.zoo.write import stale, write_page
    from ltbench.results.store import default_results_root, load

    if page is None or set(targets) != {spec.ZOO}:
        raise UsageError(f"--page and --check are for '{COMMAND}'.")
    _refuse_options_of_a_run()
    stored = load(default_results_root(results))
    if stored.left_out:
        click.echo(f"note: {stored.note()}", err=True)
    made = document(spec.zoo(), boards_of(spec.zoo(), stored.records))
    if not check:
        click.echo(f"wrote {', '.join(map(str, write_page(made, page, COMMAND)))}")
    elif found := stale(made, page, COMMAND):
        again = shlex.join(["ltbench", "reproduce", spec.ZOO, "--page", str(page)])
        raise LtbenchError(f"{', '.join(map(str, found))}: not what the records give; run '{again}'.")
    else:
        click.echo(f"up to date: {page}")


def _refuse_options_of_a_run() -> None:
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and option.name not in ("targets", "results", "page", "check"):
            raise UsageError(f"{option.opts[0]}: --page runs nothing; it takes --results and --check alone.")


def written(selected: spec.Paper, collected: Collected, folder: Path, said: str) -> tuple[dict[str, Any], list[Path]]:
    """What a run gave, and the files that say it. Raises DataError when the place cannot be written."""
    from ltbench.reproduction.zoo.document import document
    from ltbench.reproduction.zoo.write import write

    made = document(selected, [collected.records])
    return made, write(made, folder, said)


def show(made: Mapping[str, Any]) -> None:
    """The boards on the terminal."""
    from rich.text import Text

    from ltbench.cli.output import console, table
    from ltbench.reproduction.zoo.text import board_title, narrow_grid, otherwise_lines, verdicts

    for board in made["boards"]:
        console().print(table(*narrow_grid(made, board), title=board_title(board)))
        for line in otherwise_lines(made, board):
            console().print(Text(f"made otherwise: {line}", style="dim"))
        for sentence in verdicts(made, board):
            console().print(Text(sentence))
