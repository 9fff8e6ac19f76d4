"""The order of things: open the data, train the stages that are missing, fuse, measure, leave records."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ltbench.common.cache import cache_dir
from ltbench.common.files import copy_folder
from ltbench.common.sealed import Damaged, set_aside, write_json
from ltbench.config import RunConfig
from ltbench.data.base import Dataset, check_splits
from ltbench.data.guard import no_test_split
from ltbench.engine.context import StageContext, build, check_built, confirm, fit, make_method, rebuild, weights_of
from ltbench.engine.costs import device_seconds, stage_cost
from ltbench.engine.evaluation.evaluate import fuser_class
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.evaluations import Evaluations
from ltbench.engine.fitting.spent import worked
from ltbench.engine.hooks import Hooks
from ltbench.engine.keys.keys import evaluation_code
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.mending import clear_away, refuse_to_train
from ltbench.engine.planning import compared, make_plan
from ltbench.engine.processes import await_file, check_processes
from ltbench.engine.recording import RecordMaker
from ltbench.engine.stage_logits import StageLogits
from ltbench.engine.stages import draft_of, lock, open_draft, publish, read_draft, write_weights
from ltbench.engine.workbench import Workbench, make_feature_store, make_workbench
from ltbench.errors import StopRun
from ltbench.method import Member, Method
from ltbench.plan import NO_FUSER, Evaluation, Run
from ltbench.registry.manager import plugin_code, plugin_files, plugins
from ltbench.results.logits import LogitsFolder, check_complete, joined, read_logits
from ltbench.results.marks import Mark, new_mark
from ltbench.results.record import Record
from ltbench.results.runs import run_of
from ltbench.results.stage import Stage
from ltbench.results.store import mark_recomputed, save
from ltbench.settings.recipe_files import requirements
from ltbench.settings.recipes import Resolved, resolve_config


def run(config: RunConfig, *, results: Path | None = None) -> Record:
    """Run one configuration and return its record (the first fuser's, if several are asked for).

    Stages that are in the cache are not trained again. All records lie in ``<cache>/runs/<run>/records``, and below
    ``results`` where that is given; :func:`run_records` returns them.

    Of several processes (torchrun, accelerate launch) every one calls this with the same settings, and gets the record.

    Raises:
        StopRun: a plugin's hook has stopped the run; the same call goes on from there.
        LtbenchError: see the exit codes of :mod:`ltbench.errors`.
    """
    plan, records = _run(config, results)
    wanted = plan.config.methods, (plan.config.fusers or (NO_FUSER,))[0]
    return next(record for record in records if (record.methods, record.fuser) == wanted)


def run_records(config: RunConfig, *, results: Path | None = None) -> list[Record]:
    """:func:`run`, and all records of the run, as they stand in its table.

    First references (``record.role``: ``reference``) and controls (``control``), then each method alone and what was asked
    for (``run``). With ``RunConfig(controls=False)`` what was asked for is all there is. Raises as :func:`run`.
    """
    return _run(config, results)[1]


def _run(config: RunConfig, results: Path | None) -> tuple[Run, list[Record]]:
    with plugin_files(config.plugins):
        engine = Engine(resolve_config(config), Reporter(quiet=True))
        records = [record for _, record in engine.execute(results)]
        texts = engine.compute.from_main([record.model_dump_json() for record in records])
    if not engine.compute.is_main:
        records = [Record.model_validate_json(text) for text in texts]
    return engine.plan, records


class Engine:
    """One run for one seed. Nothing is trained before :meth:`execute`.

    Args:
        evaluations: in place of those that the settings ask for: of the run's methods, or some of them, by its fusers.
        analysed: methods whose logits the caller will read beside the evaluations (:meth:`logits_of`).
    """

    def __init__(
        self,
        resolved: Resolved,
        reporter: Reporter,
        evaluations: Sequence[Evaluation] | None = None,
        analysed: Collection[str] = (),
    ) -> None:
        self.resolved, self.reporter, self.analysed = resolved, reporter, analysed
        config = resolved.config
        self.compute = Compute(config.compute)
        if not self.compute.is_main:
            self.reporter = Reporter(quiet=True)
        self.cache = cache_dir()
        self.dataset = self._open_dataset()
        self.plan: Run = make_plan(resolved, self.dataset, self.compute.precision, self.cache)
        if evaluations is not None:
            self.plan = replace(self.plan, evaluations=list(evaluations))
        self.hooks = Hooks(self.plan, self.compute)
        # Read before anything is trained: what is edited meanwhile is not what runs.
        self._code = {name: evaluation_code(fuser_class(name)) for name in {e.fuser for e in self.plan.evaluations}}
        self.bench = self._workbench()
        features = {"val": self.bench.features, "test": self._feature_store()}
        self._stage_logits = StageLogits(self.dataset, config.dataset.name, self.compute, features)
        with no_test_split("the methods of the run are made"):
            self._methods = {name: make_method(name, resolved.method_configs[name]) for name in resolved.order}
        self._logits: dict[str, LogitsFolder] = {}

    def check(self) -> None:
        """Build what is not trained yet, and drop it: what cannot be built or evaluated is refused before anything is trained.

        Every process of a run must call this, for ``build`` may let them work together. Raises as
        :func:`ltbench.engine.context.check_built`.
        """
        done = self.compute.from_main([stage.done for stage in self.plan.stages])
        for stage, there in zip(self.plan.stages, done, strict=True):
            if not there:
                check_built(stage.method, untrained(stage.method, self._methods, self.bench))

    def execute(self, results: Path | None = None, *, train: bool = True) -> list[tuple[Evaluation, Record]]:
        """Train what is missing, evaluate everything, leave the records. Plugins hear of an error before it goes on.

        Args:
            train: False refuses a run whose stages are not all in the cache.

        Raises:
            StopRun: a plugin's hook asks for it, on every process. What was computed lies where the next run finds it.
        """
        if not train:
            refuse_to_train(self.plan.stages, self.compute)
        try:
            check_processes(self.compute, self.cache, self.plan)
            self.hooks.before_run()
            self._clear_away([stage.method for stage in self.plan.stages if not stage.evaluated])
            self.check()
            for stage in self.plan.stages:
                self.ensure(stage)
            self.infer()
            with self.hooks.together():
                records = self.evaluate(results) if self.compute.is_main else []
            self.compute.wait()
            return records
        except BaseException as error:
            self.hooks.on_error(error)
            raise

    def _clear_away(self, used: Collection[str]) -> bool:
        return clear_away(self.plan.stages, used, self.compute, self.reporter.line)

    def ensure(self, stage: Stage) -> None:
        """Train a stage unless it is there. Of two processes that want one, the second waits for the first."""
        if self.compute.from_main(stage.done):
            return
        with lock(stage, self.reporter.line) if self.compute.is_main else nullcontext():
            if not self.compute.from_main(stage.done):
                if stage.method in compared(self.plan):
                    self.reporter.line(f"{stage.method} is trained for comparison alone; --no-controls leaves it out")
                self._train(stage)
            self.compute.wait()
            await_file(stage.folder / "stage.json")

    def _train(self, stage: Stage) -> None:
        started, clock = time.perf_counter(), worked(self.compute.device)
        draft = open_draft(stage) if self.compute.is_main else draft_of(stage)
        self.compute.wait()
        method, context = self._methods[stage.method], self._context(stage.method, draft)
        members = build(method, context)
        check_built(stage.method, members)
        fit(method, context, members)
        self.hooks.insist()
        seconds = time.perf_counter() - started
        taken = device_seconds(context.spent, worked(self.compute.device) - clock, self.compute)
        seal = write_weights(stage, weights_of(members)) if self.compute.is_main else ""
        self.compute.wait()
        await_file(draft / stage.weights.name)
        rebuilt = rebuild(method, context, partial(read_draft, stage))
        confirm(stage.method, members, rebuilt, self.bench)
        if self.compute.is_main:
            cost = stage_cost(context.spent, taken, rebuilt, self.bench.image_shape, self.compute)
            names = [{"name": m.name, "classes": len(m.classes), "outside": m.outside} for m in members]
            about: dict[str, Any] = {"created": _now(), "seconds": {"fit": seconds}, "members": names}
            about |= {"augmentation": context.augmentations, "cost": cost, "num_processes": self.compute.world}
            publish(stage, seal, about)
            self.reporter.line(f"trained {stage.method}: {', '.join(m.name for m in members)} in {seconds:.0f} s")

    def infer(self) -> None:
        """Logits of the stages that have none: one pass over validation and one over test for all of them."""
        missing = self._without_logits()
        if missing and self._clear_away(missing):
            for stage in self.plan.stages:
                self.ensure(stage)
            missing = self._without_logits()
        if missing:
            self._stage_logits.write(
                [(stage, self._rebuilt(stage)) for stage in self.plan.stages if stage.method in missing]
            )

    def _without_logits(self) -> list[str]:
        """Methods whose logits are to be made, as the main process finds them: they are not there, or damaged where needed."""
        missing: list[str] = []
        if self.compute.is_main:
            needed = set(self.analysed)
            for evaluation in self.plan.evaluations:
                if not self._evaluations.recall(evaluation):
                    needed.update(evaluation.methods)
            missing = [
                stage.method for stage in self.plan.stages if not self._has_logits(stage, stage.method in needed)
            ]
        return self.compute.from_main(missing)

    def _has_logits(self, stage: Stage, read: bool) -> bool:
        try:
            check_complete(stage.logits)
            if read:
                self._logits_of(stage)
        except Damaged as why:
            if stage.logits.exists():
                set_aside(stage.logits, why, "the logits are made again")
            return False
        return True

    def _rebuilt(self, stage: Stage) -> list[Member]:
        return rebuild(self._methods[stage.method], self._context(stage.method, None), stage.read_weights)

    def evaluate(self, results: Path | None) -> list[tuple[Evaluation, Record]]:
        """Fuse the stored logits by every fuser of the plan; main process only."""
        done: list[tuple[Evaluation, Record]] = []
        try:
            for evaluation in self.plan.evaluations:
                done.append((evaluation, self._record(evaluation, results)))
                self.hooks.after_record(done[-1][1])
        except StopRun:
            self._write_run(done)
            raise
        self._write_run(done)
        return done

    def _record(self, evaluation: Evaluation, results: Path | None) -> Record:
        """Taken from the cache or made, and saved."""
        with self.reporter.working(f"fusing {evaluation.label}"):
            record = self._evaluations.recall(evaluation)
            if record is None:
                record = self._evaluations.make(evaluation, self.logits_of(evaluation.methods))
        kept = {save(record, self.plan.folder / "records", sealed=True): record}
        if results is not None:
            kept[save(record, results)] = record
        mark_recomputed(kept, self._mark)
        return record

    @cached_property
    def _mark(self) -> Mark:
        """That this process computed a record from logits, or took it from the cache, where it is sealed."""
        environment = self._evaluations.maker.environment
        return new_mark(environment.ltbench, environment.git_commit)

    @cached_property
    def _evaluations(self) -> Evaluations:
        """Not before everything is trained: it leads to the test split."""
        maker = RecordMaker(self.resolved, self.dataset, self.compute, self.plan, self._code)
        folder = self.cache / "evaluations"
        return Evaluations(folder, self.plan, self.resolved, maker, self.bench.classes)

    def logits_of(self, methods: Sequence[str]) -> LogitsFolder:
        """Stored logits of the members of these methods, named ``<method>/<member>``. Raises Damaged."""
        stages = {stage.method: stage for stage in self.plan.stages}
        return joined([self._logits_of(stages[method]) for method in methods])

    def _logits_of(self, stage: Stage) -> LogitsFolder:
        if stage.method not in self._logits:
            self._logits[stage.method] = read_logits(stage.logits, stage.of_logits)
        return self._logits[stage.method]

    def _open_dataset(self) -> Dataset:
        config = self.resolved.config.dataset
        cls: type[Dataset] = plugins().datasets.load(config.name)
        with plugin_code("dataset", config.name, "its constructor"):
            dataset = cls(self.resolved.dataset_options, config.root)
        dataset.progress = self.reporter.steps
        opening = self.reporter.working(f"opening {config.name}")
        with self.compute.accelerator.main_process_first(), opening, plugin_code("dataset", config.name, "split"):
            check_splits(dataset)
            # image files are read by one process, the others find what they hold remembered
            _ = dataset.fingerprint, dataset.train_counts, dataset.class_names
        for name, samples in dataset.skipped.items():
            self.reporter.line(
                f"{name}: {len(samples):,} images left out: {', '.join(samples[:3])}{', ...' * (len(samples) > 3)}"
            )
        return dataset

    def _feature_store(self) -> FeatureStore:
        return make_feature_store(
            self.cache / "features", self.resolved.config, self.dataset, self.compute, self.reporter
        )

    def _workbench(self) -> Workbench:
        return make_workbench(
            self.resolved.config,
            self.dataset,
            self.compute,
            self._feature_store(),
            self.reporter,
            self.hooks.after_epoch,
        )

    def _context(self, method: str, folder: Path | None) -> StageContext:
        stages = {stage.method: stage for stage in self.plan.stages}
        required: dict[str, Callable[[], list[Member]]] = {
            # not self._rebuilt: a method's context must not lead to the engine and its test split
            asked: partial(rebuild, self._methods[name], self._context(name, None), stages[name].read_weights)
            for asked, name in requirements(method).items()
        }
        return StageContext(method, self.bench, folder, required)

    def _write_run(self, done: Sequence[tuple[Evaluation, Record]]) -> None:
        """``run.json``, and beside it what the methods wrote for people to look at."""
        for stage in self.plan.stages:
            copy_folder(stage.folder / "artifacts", self.plan.folder / "artifacts" / stage.method)
        write_json(
            self.plan.folder / "run.json",
            {
                "name": self.plan.name,
                "created": _now(),
                "dataset": self.plan.config.dataset.name,
                "methods": list(self.plan.config.methods),
                "fusers": list(self.plan.config.fusers),
                "seed": self.plan.config.seed,
                "config": self.plan.config.model_dump(mode="json"),
                "stages": {stage.method: stage.folder.name for stage in self.plan.stages},
                "stage_keys": {stage.method: stage.key for stage in self.plan.stages},
                "all": {
                    evaluation.label: record.accuracy(self.plan.config.folds)["all"] for evaluation, record in done
                },
            },
            run_of(self.plan.name),
        )


def untrained(name: str, methods: Mapping[str, Method], bench: Workbench) -> list[Member]:
    """Members of a method as ``build`` makes them, from untrained ones of the methods that it requires. It leads to no engine."""
    required = {asked: partial(untrained, other, methods, bench) for asked, other in requirements(name).items()}
    return build(methods[name], StageContext(name, bench, None, required))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
