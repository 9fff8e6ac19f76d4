"""From a measured posterior to the record of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ltbench.analysis.oracle import oracle
from ltbench.backbones.checkpoints import pretrained_weights
from ltbench.common.canonical import digest
from ltbench.common.escaping import one_line
from ltbench.data.folds import FOLD_RULES
from ltbench.engine.evaluation.evaluate import Measured
from ltbench.engine.provenance import environment
from ltbench.members import MemberLogits
from ltbench.registry.lookup import is_transductive
from ltbench.registry.manager import plugins
from ltbench.results.logits import LogitsFolder, SplitLogits
from ltbench.results.record import Record, Role, logits_digest, make_record, row_config
from ltbench.results.schema import DatasetInfo, MemberInfo, Selection, StageCost, StageInfo, Track
from ltbench.results.track import own_augmentation, track_of
from ltbench.settings.recipe_files import dependency_order
from ltbench.statistics.metrics import accuracy_from_counts, calibration_error, class_counts

if TYPE_CHECKING:
    from ltbench.data.base import Dataset
    from ltbench.engine.machine.compute import Compute
    from ltbench.plan import Evaluation, Run
    from ltbench.results.stage import Stage
    from ltbench.settings.recipes import Resolved


class RecordMaker:
    """Makes the records of one run: what they share is found out once.

    Args:
        code: fuser -> the code of its evaluation (:func:`ltbench.engine.keys.keys.evaluation_code`).
    """

    def __init__(
        self,
        resolved: "Resolved",
        dataset: "Dataset",
        compute: "Compute",
        plan: "Run",
        code: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.resolved, self.plan, self.compute, self.code = resolved, plan, compute, code
        self.environment = environment(
            device=compute.device.type,
            precision=compute.precision,
            instructions=torch.backends.cpu.get_cpu_capability(),
            threads=torch.get_num_threads(),
        )
        counts = dataset.train_counts
        self.dataset = DatasetInfo(
            name=resolved.config.dataset.name,
            fingerprint=dataset.fingerprint,
            num_classes=dataset.num_classes,
            train_counts=tuple(counts.tolist()),
            train=int(counts.sum()),
            val=len(dataset.split("val")),
            test=len(dataset.split("test")),
            options={key: value for key, value in resolved.config.dataset.options.items() if key != "lists"},
            skipped={name: tuple(map(one_line, names)) for name, names in dataset.skipped.items()},
        )
        self.stored_size, self.storage = dataset.image_shape[-1], dataset.storage

    def key(self, evaluation: "Evaluation", fuser: type) -> str:
        """sha256 (hex) of everything that decides the record but the machine it is made on."""
        order = dependency_order(evaluation.methods)
        return digest(
            {
                "config": row_config(
                    self.resolved.config.model_dump(mode="json"), evaluation.methods, order, evaluation.fuser
                ),
                "role": evaluation.role,
                "transductive": is_transductive(plugins().fusers, fuser) or _transductive(evaluation.methods),
                "stages": [stage.key for stage in self.plan.stages if stage.method in order],
                "fuser": f"{fuser.__module__}:{fuser.__qualname__}",
                "code": self.code[evaluation.fuser],
            }
        )

    def record(self, evaluation: "Evaluation", content: LogitsFolder, measured: Measured) -> Record:
        config, order = self.resolved.config, dependency_order(evaluation.methods)
        stages = [stage for stage in self.plan.stages if stage.method in order]
        reports = {stage.method: stage.report() for stage in stages}
        augmentations = {name: own_augmentation(report, config) for name, report in reports.items()}
        seconds = {name: sum(report["seconds"].values()) for name, report in reports.items()}
        return make_record(
            dataset=self.dataset,
            methods=evaluation.methods,
            fuser=evaluation.fuser,
            role=evaluation.role,
            config=row_config(config.model_dump(mode="json"), evaluation.methods, order, evaluation.fuser),
            seed=config.seed,
            num_processes=max(report["num_processes"] for report in reports.values()),
            selection=Selection(split="val"),
            fold_rule=config.folds,
            timings=seconds | measured.seconds,
            stages=[_stage_info(stage, reports[stage.method], augmentations[stage.method]) for stage in stages],
            track=self._track(evaluation, order[0], measured.transductive, augmentations.values()),
            environment=self.environment,
            notes=[],
            **measured_fields(evaluation.role, content, measured),
        )

    def _track(
        self,
        evaluation: "Evaluation",
        root: str,
        fuser_is_transductive: bool,
        augmentations: Iterable[Sequence[str] | None],
    ) -> Track:
        config = self.resolved.config
        fields = track_of(
            config,
            root,
            resolution=self.stored_size,
            precision=self.compute.precision,
            storage=self.storage,
            pretrained=pretrained_weights(config.backbone.name) if config.backbone.pretrained else "",
            transductive=fuser_is_transductive or _transductive(evaluation.methods),
            augmentations=augmentations,
        )
        return Track.model_validate(fields)


def measured_fields(role: Role, content: LogitsFolder, measured: Measured) -> dict[str, Any]:
    """The arguments of :func:`ltbench.results.record.make_record` that follow from logits: when a record is made, and when
    it is verified. Rows stand in the order of their split, whatever the order in which they were stored or fused."""
    order = torch.argsort(measured.indices, stable=True).numpy()
    return {
        "members": [_info(member) for member in content.val.members],
        "correct": measured.correct[order],
        "labels": measured.labels.numpy()[order],
        "ece": calibration_error(measured.confidence, measured.correct),
        "nll": measured.nll,
        "logits_sha256": {name: split_digest(getattr(content, name)) for name in ("val", "test")},
        "fitted_on": measured.fuser.fitted_on,
        "fuser_state": measured.fuser.state(),
        "analyses": _analyses(role, content),
    }


def _analyses(role: Role, content: LogitsFolder) -> dict[str, Any]:
    """The oracle, where partial members share out the classes: an upper bound beside the row, never a row (Sec. 4.2)."""
    partial = [member for member in content.test.members if member.outside != "none"]
    covered = sorted(label for member in partial for label in member.classes.tolist())
    if role != "run" or covered != list(range(content.num_classes)):
        return {}
    told = oracle(partial, content.test.labels)
    labels = content.test.labels.numpy()
    right, total = class_counts(told.predictions == labels, labels, content.num_classes)
    accuracy = {rule: accuracy_from_counts(right, total, content.train_counts, rule) for rule in FOLD_RULES}
    return {"oracle": {"accuracy": accuracy, "chooses_among": told.chooses_among}}


def split_digest(split: SplitLogits) -> str:
    """:func:`ltbench.results.record.logits_digest`; the order in which the rows are stored makes no difference."""
    order = torch.argsort(split.indices, stable=True)
    sorted_already = torch.equal(order, torch.arange(len(order)))
    rows = slice(None) if sorted_already else order
    return logits_digest(
        {member.name: member.logits[rows].numpy() for member in split.members}, split.labels[rows].numpy()
    )


def _stage_info(stage: "Stage", report: Mapping[str, Any], augmentation: Sequence[str] | None) -> StageInfo:
    return StageInfo(
        method=stage.method,
        key=stage.key,
        weights=report["weights_sha256"],
        augmentation=None if augmentation is None else tuple(augmentation),
        cost=StageCost.model_validate(report["cost"]),
    )


def _transductive(methods: Sequence[str]) -> bool:
    return any(plugins().methods.get(name).spec.transductive for name in methods)


def _info(member: MemberLogits) -> MemberInfo:
    return MemberInfo(name=member.name, method=member.method, num_classes=len(member.classes), outside=member.outside)
