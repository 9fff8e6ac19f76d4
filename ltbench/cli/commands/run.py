"""``ltbench run``: train what is missing, fuse, evaluate, leave records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ltbench.cli.options import (
    Command,
    json_option,
    num_processes_option,
    oversubscribe_option,
    results_option,
    settings_options,
)

if TYPE_CHECKING:
    from ltbench.plan import Evaluation
    from ltbench.results.record import Record
    from ltbench.settings.recipes import Resolved
    from ltbench.settings.request import Request

EPILOG = """
Examples:

  ltbench run --method experts --fuser joint

  ltbench run --method experts --fuser joint --fuser kl --seeds 0,1,2 --results results

  ltbench run --method all --fuser joint

  ltbench run --method experts --dataset folder --data-root photos --recipe imagenet-lt

  ltbench run --method baseline --backbone resnet18 --set baseline.optim.epochs=5 --dry-run
"""


@click.command("run", cls=Command, epilog=EPILOG)
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="A method; several make one ensemble. 'all': every method of the paper's ensemble, and others that say they "
    "take part (MethodSpec.ensemble). See 'ltbench list methods'.",
)
@click.option(
    "-f",
    "--fuser",
    "fusers",
    multiple=True,
    metavar="NAME",
    help="A fuser; several are all evaluated on the same logits.",
)
@settings_options("One setting, above everything: --set experts.reject_ratio=8.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random; 0 by default.")
@click.option("--seeds", metavar="S,S,...", help="One run for each of these seeds: 0,1,2.")
@click.option(
    "--folds", metavar="RULE", help="Which classes are many-, medium- and few-shot: paper (default), kang or oltr."
)
@click.option(
    "--controls/--no-controls",
    default=None,
    help="Also evaluate references (the baseline, trained if it is not there), controls and each method alone, beside what is "
    "asked for; the default.",
)
@num_processes_option
@oversubscribe_option
@results_option()
@click.option(
    "--dry-run", is_flag=True, help="Show the plan: stages, which are cached, what would be trained and evaluated."
)
@json_option()
def command(
    methods: tuple[str, ...],
    fusers: tuple[str, ...],
    asked: Request,
    seed: int | None,
    seeds: str | None,
    folds: str | None,
    controls: bool | None,
    num_processes: int,
    oversubscribe: bool,
    results: Path | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Train the stages that are missing, fuse the members, evaluate on the test split, leave records.

    What you do not set comes from the recipes of the dataset (--recipe takes another's), then from what the dataset suggests
    by its images (folder does), then from the defaults; --dry-run shows the source of each.

    Every choice (epochs, temperatures, fusion weights) is made on the validation split. Trained stages are kept and
    reused: another fuser, or another method on the same baseline, trains nothing again.

    The exit code is 0 when the run is done, 5 when a plugin has stopped it (ltbench.StopRun): the same command goes on. Other
    codes are in docs/architecture.md.
    """
    from ltbench.cli.launch import check_number, launch
    from ltbench.errors import UsageError
    from ltbench.settings.recipes import resolve

    check_number(num_processes, oversubscribe)

    if seed is not None and seeds is not None:
        raise UsageError("--seed and --seeds exclude each other: give the one seed, or all of them.")
    chosen = parse_seeds(seeds) if seeds is not None else [seed]
    plans = [
        resolve(methods=methods, fusers=fusers, seed=one, folds=folds, controls=controls, **vars(asked))
        for one in chosen
    ]
    if num_processes > 1 and not dry_run:
        return launch(num_processes)
    execute_all(plans, results, dry_run=dry_run, as_json=as_json)
    return 0


def parse_seeds(text: str) -> list[int | None]:
    """``0,1,2`` -> [0, 1, 2]. Raises UsageError for anything else."""
    from ltbench.errors import UsageError

    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds {text}: expected distinct numbers from 0 up, separated by commas, e.g. 0,1,2.")
    return list(numbers)


def execute_all(
    plans: list[Resolved], results: Path | None, *, dry_run: bool, as_json: bool, train: bool = True
) -> None:
    """Run one plan after the other and print what came out. ``train=False`` refuses a plan whose stages are not all there."""
    from ltbench.engine.machine.progress import Reporter
    from ltbench.engine.machine.world import read_world
    from ltbench.engine.planning import describe
    from ltbench.engine.run import Engine
    from ltbench.report.run_table import print_plan, print_records

    reporter = Reporter(quiet=as_json or read_world().rank > 0)
    for note in plans[0].notes:
        reporter.line(f"note: {note}")
    done: list[list[tuple[Evaluation, Record]]] = []
    described = []
    for resolved in plans:
        engine = Engine(resolved, reporter)
        if dry_run:
            engine.check()
            if engine.compute.is_main:
                described.append(describe(engine.plan))
                if not as_json:
                    print_plan(engine.plan, resolved.sources)
            continue
        records = engine.execute(results, train=train)
        if not engine.compute.is_main:
            continue
        done.append(records)
        described.append(
            {**describe(engine.plan), "records": [json.loads(record.model_dump_json()) for _, record in records]}
        )
        if not as_json:
            print_records([records], engine.plan, results)
    if as_json and described:
        click.echo(json.dumps(described if len(described) > 1 else described[0]))
    elif len(done) > 1:
        print_records(done, engine.plan, results)
