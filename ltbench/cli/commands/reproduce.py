"""``ltbench reproduce``: the paper's tables, figures and claims, measured on a dataset beside what the paper reports."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.options import (
    FOLDER,
    Command,
    json_option,
    num_processes_option,
    oversubscribe_option,
    results_option,
    settings_options,
)

if TYPE_CHECKING:
    from ltbench.settings.request import Request

EPILOG = """
Examples:

  ltbench reproduce table6

  ltbench reproduce all --dataset glyphs-lt --seeds 0,1,2

  ltbench reproduce all --results results --out results/glyphs-lt

  ltbench reproduce table8 --dataset imagenet-lt --data-root DIR --num-processes 8

  ltbench reproduce zoo --dataset fashion-mnist-lt --seeds 0,1,2 --results results

  ltbench reproduce zoo --page docs/methods.md

Targets: table2 to table9, figure2 to figure5, ablations, all; and zoo: every method beside the others, with its cost.
"""


@click.command("reproduce", cls=Command, epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option(
    "--seeds", metavar="S,S,...", default="0,1,2", show_default=True, help="Run everything for each of these."
)
@settings_options("One setting of every run that has it; below what tells a table's rows apart.")
@num_processes_option
@oversubscribe_option
@results_option()
@click.option(
    "--out",
    type=FOLDER,
    help="Folder of REPRODUCTION.md, reproduction.json, tables and figures; <cache>/reproduce/<dataset> by default.",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Of zoo: run nothing, write the page of the records below --results (default: as 'ltbench leaderboard').",
)
@click.option(
    "--check", is_flag=True, help="With --page: write nothing, fail when the page is not what the records give."
)
@json_option()
def command(
    targets: tuple[str, ...],
    asked: Request,
    seeds: str,
    num_processes: int,
    oversubscribe: bool,
    results: Path | None,
    out: Path | None,
    page: Path | None,
    check: bool,
    as_json: bool,
) -> int:
    """Run what the paper's tables and figures need and print our numbers beside the reported ones.

    Trained stages and records in the cache are reused: a second call, or one after an interruption, runs what is missing.
    Even tables are of ImageNet-LT in the paper and odd ones of Places-LT; both stand beside the same measured rows.
    """
    from ltbench.cli.commands.run import parse_seeds
    from ltbench.cli.launch import check_number, launch
    from ltbench.reproduction.spec import ZOO, chosen

    check_number(num_processes, oversubscribe)
    selected = chosen(targets)
    if page is not None or check:
        from ltbench.cli.zoo import page_of_records

        page_of_records(targets, results, page, check)
        return 0
    numbers = [seed for seed in parse_seeds(seeds) if seed is not None]

    from ltbench.common.cache import cache_dir
    from ltbench.engine.machine.progress import Reporter
    from ltbench.reproduction.collect import collect
    from ltbench.reproduction.jobs import jobs

    if num_processes > 1:
        for job in jobs(selected.rows, asked):
            job.resolve(numbers[0])  # what is wrong with the settings is said once, before the processes are started
        return launch(num_processes)
    reporter = Reporter(quiet=as_json)
    collected = collect(selected, asked, numbers, results, reporter)
    if collected is None:
        return 0
    for note in collected.notes:
        reporter.line(f"note: {note}")
    folder = out or cache_dir() / "reproduce" / collected.dataset
    said = _said(targets, seeds, asked, collected.dataset)
    if ZOO in targets:
        from ltbench.cli.zoo import show, written

        made, files = written(selected, collected, folder, said)
    else:
        from ltbench.reproduction.document import document
        from ltbench.reproduction.write import write

        show, made = _print, document(selected, collected)
        files = write(made, folder, said)
    if as_json:
        from ltbench.cli.output import print_json

        print_json(made)
    else:
        show(made)
        click.echo(f"wrote {folder} ({len(files)} files), first {files[0].name}")
    return 0


def _said(targets: tuple[str, ...], seeds: str, asked: Request, dataset: str) -> str:
    """The command that gives the same numbers, without where images lie (``DIR``) and results are written to."""
    options = [
        ("--data-root", asked.root and "DIR"),
        ("--on-bad-image", asked.on_bad_image),
        ("--recipe", asked.recipe),
        ("--backbone", asked.backbone),
        *(("--config", file) for file in asked.config_files),
    ]
    parts = ["ltbench", "reproduce", *targets, "--dataset", dataset, "--seeds", seeds]
    parts += [str(part) for option, value in options if value for part in (option, value)]
    return shlex.join([*parts, *(part for text in asked.overrides for part in ("--set", text))])


def _print(made: Mapping[str, Any]) -> None:
    from rich.text import Text

    from ltbench.cli.output import console, table
    from ltbench.reproduction.text import claims_grid, controls_grid, controls_sentences, table_grid, table_title

    out = console()
    where = made["dataset"]["name"]
    for one in made["tables"]:
        grid, notes = table_grid(one, made)
        out.print(table(*grid, title=f"{table_title(one)}; measured ({where})"))
        for line in [one["note"]] * bool(one["note"]) + [f"[{number}] {note}" for number, note in enumerate(notes, 1)]:
            out.print(Text(line, style="dim"))
    if made["claims"]:
        out.print(table(*claims_grid(made), title=f"Claims of the paper on {where}"))
    if made["controls"]:
        out.print(table(*controls_grid(made), title="Ensembles against their controls"))
        for sentence in controls_sentences(made):
            out.print(Text(sentence))
