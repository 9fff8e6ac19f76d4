"""From a measured posterior to the record of it."""

from collections.abc import Sequence
from typing import Any

from ltbench.analysis.oracle import oracle
from ltbench.backbones import pretrained_weights
from ltbench.canonical import digest
from ltbench.data.augment import Augment
from ltbench.data.base import Dataset
from ltbench.data.folds import FOLD_RULES
from ltbench.engine.compute import Compute
from ltbench.engine.evaluate import Measured
from ltbench.engine.plan import Evaluation, Run
from ltbench.engine.stages import code_of_class, code_of_modules
from ltbench.fuser import Fuser, MemberLogits
from ltbench.logits import LogitsFolder, SplitLogits
from ltbench.manager import plugins
from ltbench.metrics import accuracy_from_counts, calibration_error, class_counts
from ltbench.recipe_files import dependency_order
from ltbench.recipes import Resolved
from ltbench.registry import is_transductive
from ltbench.results.provenance import environment
from ltbench.results.record import Record, logits_digest, make_record, row_config
from ltbench.results.schema import DatasetInfo, MemberInfo, Selection, StageInfo, Track

_EVALUATION_CODE = (
    "ltbench.analysis.oracle",
    "ltbench.calibration",
    "ltbench.data.folds",
    "ltbench.engine.evaluate",
    "ltbench.engine.independence",
    "ltbench.engine.order",
    "ltbench.engine.recording",
    "ltbench.fuser",
    "ltbench.metrics",
    "ltbench.posterior",
    "ltbench.results.record",
    "ltbench.results.schema",
    "ltbench.threads",
)
"""Modules of the harness whose change may change a record."""


class RecordMaker:
    """Makes the records of one run: what they share is found out once."""

    def __init__(self, resolved: Resolved, dataset: Dataset, augment: Augment, compute: Compute, plan: Run) -> None:
        self.resolved, self.plan, self.compute = resolved, plan, compute
        self.environment = environment(device=compute.device.type, precision=compute.precision)
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
            skipped={name: tuple(names) for name, names in dataset.skipped.items()},
        )
        self.resolution = augment.config.size or dataset.image_shape[-1]

    def key(self, evaluation: Evaluation, fuser: type[Fuser]) -> str:
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
                "fuser_code": code_of_class(fuser),
                "evaluation_code": code_of_modules(_EVALUATION_CODE),
            }
        )

    def record(self, evaluation: Evaluation, content: LogitsFolder, measured: Measured) -> Record:
        config, order = self.resolved.config, dependency_order(evaluation.methods)
        stages = [stage for stage in self.plan.stages if stage.method in order]
        seconds = {stage.method: sum(stage.report()["seconds"].values()) for stage in stages}
        return make_record(
            dataset=self.dataset,
            methods=evaluation.methods,
            fuser=evaluation.fuser,
            role=evaluation.role,
            members=[_info(member) for member in content.val.members],
            config=row_config(config.model_dump(mode="json"), evaluation.methods, order, evaluation.fuser),
            seed=config.seed,
            num_processes=max(stage.report()["num_processes"] for stage in stages),
            selection=Selection(split="val"),
            fold_rule=config.folds,
            correct=measured.correct,
            labels=measured.labels.numpy(),
            ece=calibration_error(measured.confidence, measured.correct),
            nll=measured.nll,
            timings=seconds | measured.seconds,
            stages=[StageInfo(method=stage.method, key=stage.key) for stage in stages],
            track=self._track(evaluation, order[0], measured.transductive),
            environment=self.environment,
            logits_sha256={name: _digest(getattr(content, name)) for name in ("val", "test")},
            fuser_state=measured.fuser.state(),
            analyses=self._analyses(evaluation, content),
            notes=[],
        )

    def _track(self, evaluation: Evaluation, root: str, fuser_is_transductive: bool) -> Track:
        """What rows must share to be ranked together. ``root``: the method that the others start from; its epochs count."""
        config = self.resolved.config
        optim = config.settings[root].get("optim", {})
        changes = {
            **config.backbone.kwargs,
            **({"projection": config.backbone.projection} if config.backbone.projection else {}),
        }
        backbone = config.backbone.name + (f" ({_listed(changes)})" if changes else "")
        checkpoint = config.backbone.checkpoint
        pretraining = f"file {checkpoint.name}" if checkpoint else "none"
        if config.backbone.pretrained:
            pretraining = f"timm {pretrained_weights(config.backbone.name)}"
        changed = [part.model_dump(mode="json", exclude_defaults=True) for part in (config.augment, config.mixing)]
        augmentation = _listed(changed[0] | changed[1]) or "none"
        return Track(
            backbone=backbone,
            pretraining=pretraining,
            epochs=optim.get("epochs", 0),
            augmentation=augmentation,
            resolution=self.resolution,
            transductive=fuser_is_transductive or _transductive(evaluation.methods),
        )

    @staticmethod
    def _analyses(evaluation: Evaluation, content: LogitsFolder) -> dict[str, Any]:
        """The oracle, where partial members share out the classes: an upper bound beside the row, never a row (Sec. 4.2)."""
        partial = [member for member in content.test.members if member.outside != "none"]
        covered = sorted(label for member in partial for label in member.classes.tolist())
        if evaluation.role != "run" or covered != list(range(content.num_classes)):
            return {}
        told = oracle(partial, content.test.labels)
        right, total = class_counts(
            told.predictions == content.test.labels.numpy(), content.test.labels.numpy(), content.num_classes
        )
        accuracy = {rule: accuracy_from_counts(right, total, content.train_counts, rule) for rule in FOLD_RULES}
        return {"oracle": {"accuracy": accuracy, "chooses_among": told.chooses_among}}


def _transductive(methods: Sequence[str]) -> bool:
    return any(plugins().methods.get(name).spec.transductive for name in methods)


def _info(member: MemberLogits) -> MemberInfo:
    return MemberInfo(name=member.name, method=member.method, num_classes=len(member.classes), outside=member.outside)


def _digest(split: SplitLogits) -> str:
    return logits_digest({member.name: member.logits.numpy() for member in split.members})


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items())).replace("'", "")
