"""``ltbench leaderboard``: print, write or check the tables made from the records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.options import Command, json_option, records_option

if TYPE_CHECKING:
    from ltbench.results.reported import Reported
    from ltbench.results.store import Stored

EPILOG = """
Examples:

  ltbench leaderboard

  ltbench leaderboard --results results --write

  ltbench leaderboard --results results --check
"""


@click.command("leaderboard", cls=Command, epilog=EPILOG)
@records_option
@click.option("-d", "--dataset", metavar="NAME", help="Only this dataset.")
@click.option(
    "--folds", metavar="RULE", help="Measure under this fold rule: paper, kang or oltr. By default each run's own."
)
@click.option("--write", is_flag=True, help="Write LEADERBOARD.md into each dataset's folder below the results.")
@click.option("--check", is_flag=True, help="Fail when a LEADERBOARD.md is not what its records give.")
@json_option("Print the rows as JSON.")
def command(
    results: Path | None, dataset: str | None, folds: str | None, write: bool, check: bool, as_json: bool
) -> None:
    """Rank what was measured: mean and deviation over seeds, interval against the baseline.

    Rows are ranked only with rows of the same data, fold rule, selection split and track. What papers report stands
    apart.
    """
    from ltbench.errors import LtbenchError, UsageError
    from ltbench.results.store import default_results_root

    if sum([write, check, as_json]) > 1:
        raise UsageError("--write, --check and --json exclude each other.")
    if folds and (write or check):
        raise UsageError(
            "--folds shows another view; the committed page is always under each run's own rule. Leave it out."
        )
    root = default_results_root(results)
    stored, reported = _read(root, dataset)
    if stored.left_out:
        click.echo(f"note: {stored.note()}", err=True)
    if write or check:
        pages = _pages(root, stored, reported)
        if write:
            _write(pages)
        elif stale := _stale(root, pages, dataset):
            raise LtbenchError(stale)
        else:
            click.echo(f"up to date: {', '.join(map(str, pages))}")
    else:
        _show(root, stored, reported, dataset, folds, as_json)


def _read(root: Path, dataset: str | None) -> tuple[Stored, list[Reported]]:
    from ltbench.results.store import load, load_reported, no_records

    stored = load(root)
    if dataset is not None:
        stored = stored.of(dataset, root)
    reported = [file for file in load_reported(root) if dataset in (None, file.dataset)]
    if not stored.found and not reported:
        raise no_records(root / dataset if dataset else root, stored)
    return stored, reported


def _pages(root: Path, stored: Stored, reported: list[Reported]) -> dict[Path, str]:
    from ltbench.report.leaderboard import boards
    from ltbench.report.markdown import FILE_NAME, page
    from ltbench.results.store import below

    pages = {}
    for dataset in sorted({record.dataset.name for record in stored.records} | {file.dataset for file in reported}):
        own = stored.of(dataset, root)
        published = [file for file in reported if file.dataset == dataset]
        text = page(dataset, boards(own.records, None, own.recomputed), published, root.resolve().name, own.note())
        pages[below(root, dataset, FILE_NAME)] = text
    return pages


def _write(pages: dict[Path, str]) -> None:
    from ltbench.common.files import write_text

    for path, text in pages.items():
        write_text(path, text)
        click.echo(f"wrote {path}")


def _stale(root: Path, pages: dict[Path, str], dataset: str | None) -> str:
    """What is wrong with the first page that is missing, differs or has no records any more; empty when none is."""
    from ltbench.report.markdown import FILE_NAME, refresh_command

    for path, text in pages.items():
        if not path.is_file() or path.read_bytes() != text.encode():
            what = "is stale" if path.is_file() else "is missing"
            return f"{path} {what}. Refresh it with '{refresh_command(str(root), path.parent.name)}'."
    for path in sorted(root.glob(f"{dataset or '*'}/{FILE_NAME}")):
        if path not in pages:
            return f"{path} is stale: no record below {root} belongs to it. Delete it."
    return ""


def _show(
    root: Path, stored: Stored, reported: list[Reported], dataset: str | None, folds: str | None, as_json: bool
) -> None:
    """``dataset``: the one that was asked for; only then its published rows are printed, for there may be many."""
    from pydantic import TypeAdapter

    from ltbench.cli.output import console, print_json
    from ltbench.report.leaderboard import Board, boards
    from ltbench.report.markdown import unmeasured_text
    from ltbench.report.table import rich_board

    made = boards(stored.records, folds, stored.recomputed)
    if as_json:
        left_out = [{"file": str(one.path), "reason": one.reason} for one in stored.left_out]
        rows = TypeAdapter(list[Board]).dump_python(made, mode="json")
        print_json({"boards": rows, "reported": [_published(file) for file in reported], "left_out": left_out})
        return
    for board in made:
        console().print(rich_board(board))
    measured = {record.dataset.name for record in stored.records}
    for name in sorted({file.dataset for file in reported}):
        files = [file for file in reported if file.dataset == name]
        if dataset is None:
            count = sum(len(file.rows) for file in files)
            nothing = "" if name in measured else "nothing measured yet, "
            command_line = f"ltbench leaderboard --results {root} --dataset {name}"
            click.echo(f"{name}: {nothing}{count} reported rows; see '{command_line}'.")
            continue
        if name not in measured:
            click.echo(f"Nothing measured yet. {unmeasured_text(name, str(root))}\n")
        _show_reported(name, files)


def _show_reported(dataset: str, reported: list[Reported]) -> None:
    from ltbench.cli.output import console
    from ltbench.report.reported import KEY, WHY_APART, rich_section, rules_text, sections

    out = console()
    parts = [f"Reported on {dataset} (not ranked)", WHY_APART, "\n".join(rules_text(reported)), "\n".join(KEY)]
    click.echo("\n\n".join([*parts, "The sources are in LEADERBOARD.md.", ""]))
    for section in sections(reported):
        out.print(rich_section(section))
        click.echo("".join(f"{note}\n" for note in section.notes))


def _published(file: Reported) -> dict[str, Any]:
    """The file's rows for a program, each with its check: All as its folds imply it under each rule, and the verdict."""
    from dataclasses import asdict

    content = file.model_dump()
    for row, values in zip(file.rows, content["rows"], strict=True):
        check = file.check(row)
        values["check"] = None if check is None else asdict(check)
    return content
