"""Runs what the rows need and gathers what came out. Trained stages and records in the cache are taken as they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.analysis.confidence import confidence_histograms
from ltbench.analysis.expert_confusion import expert_confusion
from ltbench.analysis.oracle import oracle
from ltbench.analysis.subsets import experts_by_method, head_and_tail
from ltbench.engine.evaluation.evaluate import Measured, make_fuser
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.run import Engine
from ltbench.errors import DataError
from ltbench.reproduction.jobs import Job, any_job, jobs, missing_plugins
from ltbench.reproduction.outcomes import Data, Outcomes, of_records
from ltbench.reproduction.spec import FigureSpec, Paper, RowSpec
from ltbench.results.logits import LogitsFolder
from ltbench.results.record import Record
from ltbench.settings.request import Request


@dataclass
class Collected:
    """What the runs left.

    Attributes:
        dataset, fingerprint, backbone: what was run on.
        outcomes: row id -> what was measured; a row that is not installed is not in it.
        records: row id -> its records, one a seed; the oracle leaves none.
        missing: row id -> its methods and fusers that no plugin registers.
        analyses: figure -> seed -> its data (``to_dict()`` of an analysis), or the reason why there is none.
        notes: of the settings, each once.
    """

    dataset: str
    fingerprint: str
    backbone: str
    data: Data
    seeds: list[int]
    outcomes: dict[str, Outcomes] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    analyses: dict[str, dict[int, dict[str, Any] | str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def collect(
    paper: Paper, asked: Request, seeds: Sequence[int], results: Path | None, reporter: Reporter
) -> Collected | None:
    """Run every job for every seed.

    Returns:
        None on other processes than the main one: those help to train, and see no record.

    Raises:
        LtbenchError: a run failed, or the settings are wrong.
    """
    todo = jobs(paper.rows, asked)
    collected: Collected | None = None
    records: dict[str, list[Record]] = {}
    oracles: dict[str, dict[int, np.ndarray]] = {}
    runs = [(seed, job) for seed in seeds for job in todo]
    for number, (seed, job) in enumerate(runs, 1):
        resolved = job.resolve(seed)
        evaluations = job.evaluations(resolved)
        engine = Engine(resolved, reporter, list(evaluations.values()), _analysed(job, paper))
        engine.reporter.line(f"run {number} of {len(runs)}: seed {seed}, {job.label}")
        done = {(one.methods, one.fuser): record for one, record in engine.execute(results)}
        if not engine.compute.is_main:
            continue
        collected = collected or _about(engine, seeds)
        collected.notes = list(dict.fromkeys([*collected.notes, *engine.resolved.notes]))
        for name, one in evaluations.items():
            records.setdefault(name, []).append(done[one.methods, one.fuser])
        for name, row in job.rows.items():
            if row.analysis == "oracle":
                oracles.setdefault(name, {})[seed] = _oracle_correct(engine.logits_of(row.methods))
        for figure in paper.figures:
            if figure.row in job.rows:
                collected.analyses.setdefault(figure.name, {})[seed] = _analysis(figure, job.rows[figure.row], engine)
    if not runs:
        engine = Engine(any_job(asked).resolve(seeds[0]), reporter)
        collected = _about(engine, seeds) if engine.compute.is_main else None
    if collected is None:
        return None
    collected.records = records
    collected.outcomes = {name: of_records(found) for name, found in records.items()}
    collected.outcomes |= {name: Outcomes(correct, {}) for name, correct in oracles.items()}
    collected.missing = {name: gone for name, row in paper.rows.items() if (gone := missing_plugins(row))}
    return collected


def _analysed(job: Job, paper: Paper) -> set[str]:
    """Methods of a job whose logits are looked at beside its records."""
    figures = {figure.row for figure in paper.figures}
    return {
        method
        for name, row in job.rows.items()
        if row.analysis == "oracle" or name in figures
        for method in row.methods
    }


def _about(engine: Engine, seeds: Sequence[int]) -> Collected:
    config, dataset = engine.resolved.config, engine.dataset
    labels = np.sort(dataset.split("test").labels.numpy())
    return Collected(
        dataset=config.dataset.name,
        fingerprint=dataset.fingerprint,
        backbone=config.backbone.name,
        data=Data(dataset.train_counts, labels, config.folds),
        seeds=list(seeds),
    )


def _oracle_correct(content: LogitsFolder) -> np.ndarray:
    """bool[N], samples sorted by class as in a record."""
    labels = content.test.labels.numpy()
    right: np.ndarray = oracle(content.test.members, content.test.labels).predictions == labels
    return right[np.argsort(labels, kind="stable")]


def _analysis(figure: FigureSpec, row: RowSpec, engine: Engine) -> dict[str, Any] | str:
    """The data of a figure about the experts of ``row``; what cannot be shown must not cost all that was measured."""
    content = engine.logits_of(row.methods)
    counts, labels = content.train_counts, content.test.labels
    try:
        by_method = experts_by_method(content.test.members)
        if len(by_method) != 1:
            raise DataError(f"the experts of one method are needed, not of {len(by_method)}.")
        (experts,) = by_method.values()
        if figure.kind == "confidence":
            return confidence_histograms(*head_and_tail(experts, counts), labels).to_dict()
        fuser = make_fuser(row.fuser, engine.bench.classes, engine.resolved.fuser_configs.get(row.fuser))
        predictions = Measured(fuser, content).log_posterior.argmax(dim=1)
        return expert_confusion(predictions, labels, experts, counts, engine.resolved.config.folds).to_dict()
    except DataError as error:
        return str(error)
