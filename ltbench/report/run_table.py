"""What ``ltbench run`` prints: the plan before, the table of the folds after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ltbench.data.folds import COLUMNS, fold_rule
from ltbench.engine.planning import compared
from ltbench.engine.reasons import reason
from ltbench.plan import NO_FUSER, Evaluation, Run
from ltbench.report.console import console
from ltbench.results.record import Record
from ltbench.statistics.over_seeds import mean_of


def print_plan(run: Run, sources: Mapping[str, str]) -> None:
    """Stages with their state, then what is evaluated, then every setting that is not a default, with where it came from."""
    out = console()
    stages = Table(title=f"Plan of {run.name}", title_justify="left")
    for column in ("stage", "state", "key", "starts from"):
        stages.add_column(column)
    for stage in run.stages:
        state = Text("cached", "green") if stage.done else Text("will be trained", "yellow")
        stages.add_row(stage.method, state, stage.key[:12], ", ".join(stage.inputs["requires"]) or "-")
    out.print(stages)
    for stage in run.stages:
        if not stage.done:
            out.print(f"  {stage.method} would be trained: {reason(stage)}", highlight=False, markup=False)
    for method in compared(run):
        out.print(_cost(run, method), highlight=False, markup=False)
    for evaluation in run.evaluations:
        note = f"  ({_note(evaluation)})" if _note(evaluation) else ""
        out.print(Text.assemble("  evaluate ", (evaluation.label, "bold"), note))
    settings = Table(title="Settings that are not defaults", title_justify="left")
    for column in ("key", "value", "from"):
        settings.add_column(column)
    values = run.config.model_dump(mode="json")
    for key, source in sorted(sources.items()):
        if source != "default":
            settings.add_row(key, _value_at(values, key), source)
    out.print(settings)


def _cost(run: Run, method: str) -> str:
    """What a stage for comparison alone costs, where it is still to be trained."""
    done = next(stage.done for stage in run.stages if stage.method == method)
    optim = run.config.settings[method].get("optim")
    epochs = optim.get("epochs") if isinstance(optim, dict) else None
    cost = "costs no training" if done else f"would be trained{f' for {epochs} epochs' if epochs else ''}"
    return f"  {method} stands beside for comparison alone and {cost}; --no-controls leaves it out"


def _value_at(values: Mapping[str, object], key: str) -> str:
    found: object = {**values, **values["settings"]}  # type: ignore[dict-item]
    for part in key.split("."):
        found = found.get(part, "") if isinstance(found, Mapping) else ""
    return str(found)


def print_records(runs: Sequence[Sequence[tuple[Evaluation, Record]]], plan: Run, results: Path | None) -> None:
    """One row an evaluation, Many / Medium / Few / All in percent; mean and deviation where there are several seeds."""
    out = console()
    rule = fold_rule(plan.config.folds)
    seeds = ", ".join(str(records[0][1].seed) for records in runs)
    table = Table(
        title=f"{plan.config.dataset.name}, {plan.config.backbone.name}, seed {seeds}: top-1 accuracy on test in %",
        title_justify="left",
        caption=f"folds by '{rule.name}' ({rule.text}); everything was selected on val",
        caption_justify="left",
    )
    table.add_column("posterior", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column.capitalize(), justify="right")
    table.add_column("")
    for evaluation, _ in runs[0]:
        rows = [dict(_by_label(records))[evaluation.label].accuracy(rule.name) for records in runs]
        style = "dim" if evaluation.role == "control" else "" if evaluation.beside else "bold"
        table.add_row(
            evaluation.label,
            *(_cell([row.get(c) for row in rows]) for c in COLUMNS),
            _note(evaluation),
            style=style,
        )
    _add_oracle(table, runs, rule.name)
    out.print(table)
    out.print(
        f"records: {plan.folder / 'records'}" if results is None else f"records: {results / plan.config.dataset.name}",
        soft_wrap=True,
    )


def _note(evaluation: Evaluation) -> str:
    if evaluation.role == "control":
        return "control" if evaluation.fuser == NO_FUSER else "control: calibrated alone"
    return "alone" if evaluation.role == "reference" or evaluation.beside else ""


def _by_label(records: Sequence[tuple[Evaluation, Record]]) -> list[tuple[str, Record]]:
    return [(evaluation.label, record) for evaluation, record in records]


def _add_oracle(table: Table, runs: Sequence[Sequence[tuple[Evaluation, Record]]], rule: str) -> None:
    oracles = [next((r.analyses["oracle"] for _, r in records if "oracle" in r.analyses), None) for records in runs]
    if all(oracles):
        rows = [oracle["accuracy"][rule] for oracle in oracles if oracle]
        table.add_row(
            "oracle",
            *(_cell([row.get(c) for row in rows]) for c in COLUMNS),
            "upper bound: told the subset, fewer classes",
            style="dim italic",
        )


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return str(mean_of(known)) if known else "-"


def print_fused(folder: Path, folds: str, accuracies: Mapping[str, Mapping[str, float]]) -> None:
    """One row a fuser, for a folder of logits."""
    table = Table(
        title=f"{folder}: top-1 accuracy on test in %",
        title_justify="left",
        caption=f"folds by '{folds}'; fitted on val",
        caption_justify="left",
    )
    table.add_column("fuser")
    for column in COLUMNS:
        table.add_column(column.capitalize(), justify="right")
    for name, accuracy in accuracies.items():
        table.add_row(name, *(_cell([accuracy.get(column)]) for column in COLUMNS))
    console().print(table)
