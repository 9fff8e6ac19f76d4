"""``ltbench analyze``: what a run's members do, beside their accuracy. Trains nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.options import FOLDER, Command, json_option

if TYPE_CHECKING:
    from ltbench.results.logits import LogitsFolder
    from ltbench.results.stage import Stage

EPILOG = """
Examples:

  ltbench analyze glyphs-lt-experts-s0-1a2b3c4d

  ltbench analyze glyphs-lt-experts-s0 --fuser soft --out analysis
"""


@click.command("analyze", cls=Command, epilog=EPILOG)
@click.argument("source", metavar="RUN")
@click.option(
    "-f",
    "--fuser",
    metavar="NAME",
    help="Fuses the experts for the confusion matrix and the methods for leave-one-out; by default the run's first.",
)
@click.option(
    "--out",
    type=FOLDER,
    help="Folder to write to; analysis/ in the run's by default.",
)
@json_option()
def command(source: str, fuser: str | None, out: Path | None, as_json: bool) -> None:
    """Oracle, expert confusion, confidence histograms, leave-one-out and class counts of a run (its name or folder).

    Each is written as JSON and CSV and drawn as PNG and PDF.
    """
    from ltbench.api import get_fuser
    from ltbench.common.cache import cache_dir
    from ltbench.registry.manager import plugins
    from ltbench.report.run_analysis import analyze, write
    from ltbench.results.logits import joined
    from ltbench.results.runs import find_run, read_run
    from ltbench.results.stage import Stage

    folder = find_run(source)
    run = read_run(folder)
    name = fuser or next(iter(run["fusers"]), None)
    if name is not None:
        plugins().fusers.get(name)  # a misspelt name is an error even where there is nothing to fuse
    place = cache_dir() / "stages"
    views = run["config"].get("evaluation", {}).get("views", "centre")
    stages = [
        Stage(method, run["stage_keys"][method], {}, place / run["stages"][method], views) for method in run["methods"]
    ]
    content = joined([_logits(stage) for stage in stages])
    settings = run["config"]["settings"].get(name, {})
    make = None if name is None else lambda: get_fuser(name, content.num_classes, content.train_counts, **settings)
    answer = {"run": run["name"], "fuser": name, **analyze(content, make, run["config"]["folds"])}
    files = write(answer, out or folder / "analysis")
    if as_json:
        from ltbench.cli.output import print_json

        print_json(answer)
    else:
        _print(answer)
        click.echo(f"wrote {files[0].parent} ({len(files)} files)")


def _logits(stage: Stage) -> LogitsFolder:
    """Of a stage of the run; damaged ones are set aside, and end the command, which cannot make them again."""
    from ltbench.common.sealed import Damaged, set_aside
    from ltbench.results.logits import read_logits

    try:
        return read_logits(stage.logits, stage.of_logits)
    except Damaged as why:
        advice = "Run the run's own 'ltbench run' again: it makes the logits anew."
        if stage.logits.exists():
            set_aside(stage.logits, why, "they have to be made again")
        raise Damaged(why.path, why.what, advice) from why


def _print(answer: Mapping[str, Any]) -> None:
    from rich.text import Text

    from ltbench.cli.output import console, table
    from ltbench.data.folds import COLUMNS

    out = console()

    def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
        out.print(Text(title, style="bold"))  # the title of a narrow rich table would be broken into several lines
        out.print(table(columns, rows))

    heads = [column.capitalize() for column in COLUMNS]
    for method, found in answer["experts"].items():
        if "oracle" in found:
            title = f"Oracle over {method}, top-1 accuracy in % (an upper bound: told the expert, fewer classes)"
            show(title, ["", *heads], [["oracle", *_cells(found["oracle"]["accuracy"])]])
        if "expert_confusion" in found:
            confusion = found["expert_confusion"]
            rows = [
                [fold, *(f"{value:.1f}" for value in row)]
                for fold, row in zip(confusion["folds"], confusion["percent"], strict=True)
            ]
            title = f"Which expert classifies the samples of each fold, in % (by {answer['fuser']})"
            show(title, ["samples of", *confusion["experts"]], rows)
        if "confidence" in found:
            histograms = found["confidence"]
            means = [[name, f"{mean:.3f}"] for name, mean in histograms["mean"].items()]
            title = f"Confidence on the {histograms['samples']} samples that {means[0][0]} classifies correctly"
            show(title, ["expert", "mean of the maximum probability"], means)
        for name, reason in found["skipped"].items():
            out.print(f"no {name.replace('_', ' ')}: {reason}")
    if "leave_one_out" in answer:
        found = answer["leave_one_out"]
        rows = [["all", *_cells(found["everything"])]]
        rows += [[f"without {name}", *_cells(accuracy)] for name, accuracy in found["without"].items()]
        rows += [[f"{name} alone", *_cells(accuracy)] for name, accuracy in found["alone"].items()]
        show(f"Leave-one-out, top-1 accuracy in % (by {answer['fuser']})", ["methods", *heads], rows)
    counts = answer["class_counts"]["train_counts"]
    sizes = [answer["class_counts"]["folds"].count(position) for position in range(3)]
    out.print(
        f"{len(counts)} classes, {max(counts)} to {min(counts)} training images; "
        f"{' / '.join(map(str, sizes))} many / medium / few by '{answer['folds']}'"
    )


def _cells(accuracy: Mapping[str, float]) -> list[str]:
    from ltbench.data.folds import COLUMNS
    from ltbench.report.table import NOTHING

    return [f"{accuracy[fold]:.1f}" if fold in accuracy else NOTHING for fold in COLUMNS]
