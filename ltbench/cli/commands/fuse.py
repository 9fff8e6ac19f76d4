"""``ltbench fuse``: another fuser on logits that are there, a run's or a folder's. Trains no member."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click

from ltbench.cli.options import Command, json_option, results_option, set_option

EPILOG = """
Examples:

  ltbench fuse glyphs-lt-experts-s0-1a2b3c4d --fuser kl

  ltbench fuse my_logits/ --fuser joint --set joint.l2=1e-3 --json

A folder of logits holds members.json, val.safetensors and test.safetensors; docs/architecture.md describes them.
"""


@click.command("fuse", cls=Command, epilog=EPILOG)
@click.argument("source", metavar="FOLDER_OR_RUN")
@click.option(
    "-f", "--fuser", "fusers", multiple=True, required=True, metavar="NAME", help="A fuser; several are all evaluated."
)
@set_option("A setting of a fuser: --set joint.reject=share.")
@click.option(
    "--folds",
    metavar="RULE",
    default="paper",
    show_default=True,
    help="Fold rule for a folder of logits: paper, kang or oltr.",
)
@results_option("Also write a run's records below this folder.")
@json_option()
def command(
    source: str, fusers: tuple[str, ...], overrides: tuple[str, ...], folds: str, results: Path | None, as_json: bool
) -> None:
    """Fuse logits that are there: those of a run (its name or folder) or a folder of logits from anywhere.

    The fuser is fitted on the validation logits and evaluated on the test logits.
    """
    if (Path(source) / "members.json").is_file():
        if results is not None:
            raise click.UsageError(
                "--results keeps records of runs; a folder of logits says too little of its training for a record."
            )
        fuse_folder(Path(source), fusers, overrides, folds, as_json)
    else:
        fuse_run(source, fusers, overrides, results, as_json)


def fuse_folder(folder: Path, fusers: tuple[str, ...], overrides: tuple[str, ...], folds: str, as_json: bool) -> None:
    """Print the accuracy of each fuser on a folder of logits."""
    from ltbench.api import get_fuser
    from ltbench.engine.evaluation.evaluate import Measured
    from ltbench.report.run_table import print_fused
    from ltbench.results.logits import read_logits
    from ltbench.statistics.metrics import calibration_error, fold_accuracy

    settings = _settings(overrides, fusers)
    content = read_logits(folder)
    answers: dict[str, dict[str, Any]] = {}
    for name in fusers:
        measured = Measured(
            get_fuser(name, content.num_classes, content.train_counts, **settings.get(name, {})), content
        )
        predictions = measured.log_posterior.argmax(dim=1)
        answers[name] = {
            "accuracy": fold_accuracy(predictions, content.test.labels, content.train_counts, folds),
            "ece": calibration_error(measured.confidence, measured.correct),
            "seconds": measured.seconds,
            "state": measured.fuser.state(),
        }
    if as_json:
        click.echo(
            json.dumps({"folder": str(folder), "folds": folds, "samples": len(content.test.labels), "fusers": answers})
        )
    else:
        print_fused(folder, folds, {name: answer["accuracy"] for name, answer in answers.items()})


def fuse_run(
    source: str, fusers: tuple[str, ...], overrides: tuple[str, ...], results: Path | None, as_json: bool
) -> None:
    """Evaluate other fusers on a run's stages, as ``ltbench run`` would. Raises DataError when they are gone from the cache."""
    from pydantic import ValidationError

    from ltbench.cli.commands.run import execute_all
    from ltbench.config import RunConfig
    from ltbench.errors import DataError
    from ltbench.registry.lookup import one_line
    from ltbench.registry.manager import plugins
    from ltbench.results.runs import find_run, read_run
    from ltbench.settings.recipe_files import companions_of, control_fusers, dependency_order
    from ltbench.settings.recipes import resolve_config

    for name in fusers:
        plugins().fusers.get(name)
    stored = read_run(find_run(source))
    config = {**stored["config"], "fusers": list(fusers)}
    beside, _ = companions_of(config["methods"], config.get("controls", True))
    kept = {*dependency_order([*config["methods"], *beside]), *fusers, *control_fusers()}
    settings = {name: section for name, section in config["settings"].items() if name in kept}
    for name, section in _settings(overrides, fusers).items():
        settings[name] = {**settings.get(name, {}), **section}
    try:
        complete = RunConfig.model_validate({**config, "settings": settings})
    except ValidationError as error:
        raise DataError(f"the settings of run {stored['name']} are none of this ltbench: {one_line(error)}.") from error
    resolved = resolve_config(complete)
    execute_all([resolved], results, dry_run=False, as_json=as_json, train=False)


def _settings(overrides: tuple[str, ...], fusers: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``--set joint.l2=1e-3`` as {"joint": {"l2": 0.001}}. Raises UsageError for a section that is none of the fusers."""
    from ltbench.errors import UsageError
    from ltbench.settings.layers import parse_override

    merged: dict[str, dict[str, Any]] = {}
    for text in overrides:
        for name, section in parse_override(text).values.items():
            if name not in fusers or not isinstance(section, dict):
                raise UsageError(
                    f"--set {text}: only settings of the chosen fusers ({', '.join(fusers)}) can be set here."
                )
            merged[name] = {**merged.get(name, {}), **section}
    return merged
