"""One call of ``context.train``: turns members, a sampler and settings into a task for the training loop."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.backbone import Backbone, learnable
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.samplers import SubsetSampler
from ltbench.engine.evaluation.inference import View, apply_head, run_over
from ltbench.engine.fitting.checkpoint import Checkpoint, Progress
from ltbench.engine.fitting.feeding import Batches, Feed
from ltbench.engine.fitting.loop import Task, train
from ltbench.engine.fitting.spent import Spent
from ltbench.engine.fitting.stepping import Level
from ltbench.engine.fitting.trainee import SideBySide, Trainee
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.loading import EpochBatches
from ltbench.engine.machine.seeding import global_stream, seed_globals, stream, stream_seed
from ltbench.engine.workbench import Workbench
from ltbench.errors import DataError, UsageError
from ltbench.method import Member
from ltbench.training.request import Training, TrainingResult, Validation


@dataclass
class Fitting:
    """A training of ``members`` together, for the stage of the method ``stage`` in the folder ``folder``.

    What it takes is noted in ``spent``.
    """

    workbench: Workbench
    stage: str
    folder: Path
    members: Sequence[Member]
    asked: Training
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        if unknown := self.asked.keys() - Training.__annotations__.keys():
            raise TypeError(f"train() got an unexpected keyword argument '{min(unknown)}'")
        if not self.members or "optim" not in self.asked:
            raise TypeError("train() needs at least one member, and optim=")
        self.optim, self.features = self.asked["optim"], self.asked.get("features")
        self.label = self.asked.get("label") or "+".join(member.name for member in self.members)

    def run(self) -> TrainingResult:
        with global_stream(self.workbench.seed, self.stage, self.label), ExitStack() as narrowed:
            for backbone in self._backbones:
                narrowed.enter_context(learnable(backbone, self._learnable_blocks))
            trainee = self._trainee()
            return self._run(trainee) if self.optim.epochs else TrainingResult(0, self._validate(trainee), [])

    def _run(self, trainee: Trainee) -> TrainingResult:
        bench = self.workbench
        if bench.compute.config.gradient_checkpointing and self.features is None:
            for backbone in self._backbones:
                backbone.save_memory()
        level, mixing = self._level(), self._mixing()
        sampler = self.asked.get("sampler") or SubsetSampler(self._own_samples(self._labels))
        names = (self.stage, self.label)
        batches = EpochBatches(sampler, self.optim.batch_size, bench.compute, bench.seed, *names, pairs=mixing.mixes)
        steps = len(batches)
        optim = self.optim.model_copy(update={"epochs": self.optim.planned_epochs(len(sampler))})
        feed = Feed(bench, names, batches, mixing, self._targets)
        task = Task(
            trainee=trainee,
            optim=optim,
            batches=self._batches(feed),
            steps_per_epoch=steps,
            level=level._replace(smoothing=mixing.label_smoothing),
            validate=self._validate,
            before_epoch=lambda epoch: seed_globals(
                stream_seed(bench.seed, *names, "epoch", epoch, bench.compute.rank)
            ),
            after_epoch=lambda epoch, metrics: bench.after_epoch(f"{self.stage}/{self.label}", epoch, metrics),
            stream=partial(stream, bench.seed, *names, "step"),
            parameter_groups=self.asked.get("parameter_groups"),
            keep=self.asked.get("keep") or {},
            count=lambda progress, earlier: self._count(progress, earlier, task),
        )
        checkpoint = Checkpoint(self.folder / "checkpoint", self.label)
        with bench.reporter.training(f"{self.stage} {self.label}", optim.epochs, steps) as bar:
            return train(task, bench.compute, checkpoint, bar)

    def _level(self) -> Level:
        given = [name for name in ("loss", "objective", "update") if self.asked.get(name) is not None]
        if len(given) > 1:
            raise UsageError(f"{self.stage} {self.label}: {' and '.join(given)} are given; one says what is minimised.")
        if not given:
            return Level(loss=F.cross_entropy)
        return Level(self.asked.get("loss"), self.asked.get("objective"), self.asked.get("update"))

    def _mixing(self) -> MixConfig:
        given = self.asked.get("mixing")
        if given is not None:
            return given
        return self.workbench.mixing if self.features is None else MixConfig()

    def _count(self, progress: Progress, earlier: float, task: Task) -> None:
        self.spent.trained(progress.inputs, self.features is None, earlier)
        if progress.stepped:
            self.spent.learning(task.learning)

    def _batches(self, feed: Feed) -> Batches:
        views = self.asked.get("views") or 1
        if self.features is None:
            return feed.of_images(views)
        if not isinstance(views, int):
            raise UsageError(f"{self.stage} {self.label}: views of features are a number; they are augmented already.")
        return feed.of_features(self.features, self._labels, views)

    @property
    def _backbones(self) -> list[Backbone]:
        return list({id(member.backbone): member.backbone for member in self.members}.values())

    @property
    def _learnable_blocks(self) -> int | None:
        """Below the head."""
        blocks = self.asked.get("learnable_blocks")
        if self.features is not None:
            return 0
        return None if blocks is None else blocks - 1

    def _trainee(self) -> Trainee:
        backbone_of: dict[str, nn.Module | None] = {
            member.name: None if self.features is not None else member.backbone for member in self.members
        }
        parts = {member.name: (backbone_of[member.name], member.head) for member in self.members}
        return Trainee(parts, self.workbench.compute.config.compile)

    @property
    def _labels(self) -> Tensor:
        """int64[M]: dataset class of each training sample."""
        labels = self.asked.get("labels")
        return self.workbench.train.labels if labels is None else labels

    @cached_property
    def _alike(self) -> bool:
        """All members have the same classes and say the same of the others."""
        first = self.members[0]
        return all(
            torch.equal(member.classes, first.classes) and member.outside == first.outside for member in self.members
        )

    @cached_property
    def _targets(self) -> Tensor:
        """int64[C]: dataset class -> target among the logits."""
        given = self.asked.get("target_of")
        if given is None:
            classes = len(self.workbench.classes)
            given = target_of(self.members[0], classes) if self._alike else torch.arange(classes)
        return given.to(self.workbench.compute.device)

    def _own_samples(self, labels: Tensor) -> Tensor:
        """Positions of the samples whose class a member covers."""
        covered = torch.cat([member.classes for member in self.members])
        return torch.isin(labels, covered).nonzero().flatten()

    @cached_property
    def _validation(self) -> Validation:
        given = self.asked.get("validation")
        if given is not None:
            return given
        labels = self.workbench.val.labels
        indices = self._own_samples(labels)
        return Validation(indices, self._targets.cpu()[labels[indices]])

    def _validate(self, trainee: Trainee) -> float:
        """Accuracy in percent: of the mean of the logits where all members have the same classes, else the mean of each one's
        on its own classes."""
        bench, validation = self.workbench, self._validation
        if not len(validation.indices):
            raise DataError(f"{self.stage} {self.label}: the validation split holds no sample to select the epoch on.")
        logits = self._validation_logits(trainee, bench.compute).split([member.width for member in self.members], dim=1)
        if self._alike:
            mean = logits[0] if len(logits) == 1 else torch.stack(logits).mean(dim=0)
            return _accuracy(mean, validation.targets)
        found = []
        for member, own in zip(self.members, logits, strict=True):
            targets = target_of(member, len(bench.classes))[validation.targets]
            found.append(_accuracy(own[targets >= 0], targets[targets >= 0]))
        return sum(found) / len(found)

    def _validation_logits(self, trainee: Trainee, compute: Compute) -> Tensor:
        bench, module = self.workbench, SideBySide(trainee)
        indices = self._validation.indices
        if self.features is None:
            return run_over(module, bench.val, compute, View(bench.augment, bench.image_size), indices)
        kept = [bench.features.get(backbone, "val", bench.val)[indices] for backbone in self._backbones]
        if len(kept) > 1:
            raise UsageError(
                f"{self.stage} {self.label}: members trained on features together must share their backbone."
            )
        return apply_head(module, kept[0], compute)


def target_of(member: Member, num_classes: int) -> Tensor:
    """int64[C], the target among a member's logits of each dataset class: -1 where there is none."""
    outside = len(member.classes) if member.outside == "reject" else -1
    targets = torch.full((num_classes,), outside, dtype=torch.int64)
    targets[member.classes] = torch.arange(len(member.classes))
    return targets


def _accuracy(logits: Tensor, targets: Tensor) -> float:
    return 100.0 * int((logits.argmax(dim=1) == targets).sum()) / max(1, len(targets))
