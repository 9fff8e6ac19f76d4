"""One call of ``train_classifier``: turns a member, a sampler and settings into a task for the training loop."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ltbench.data.base import CutSplit
from ltbench.data.draws import SAMPLES
from ltbench.data.samplers import EpochSampler, SubsetSampler
from ltbench.engine.checkpoint import Checkpoint
from ltbench.engine.inference import View, apply_head, run_over
from ltbench.engine.loading import EpochBatches, training_loader
from ltbench.engine.seeding import global_stream, seed_globals, stream, stream_seed
from ltbench.engine.training import Part, Task, Trainee, train
from ltbench.errors import DataError
from ltbench.method import Loss, Member, TrainingResult, Validation
from ltbench.optim import OptimConfig

if TYPE_CHECKING:
    from ltbench.engine.context import Workbench


@dataclass
class Fitting:
    """Arguments as in :meth:`ltbench.method.MethodContext.train_classifier`."""

    workbench: "Workbench"
    stage: str
    folder: Path
    member: Member
    label: str
    optim: OptimConfig
    sampler: EpochSampler | None
    loss: Loss
    target_of: Tensor | None
    validation: Validation | None
    learnable_blocks: int | None
    features: Tensor | None
    labels: Tensor | None
    parameter_groups: Sequence[Mapping[str, Any]] | None

    def run(self) -> TrainingResult:
        bench, member = self.workbench, self.member
        with global_stream(bench.seed, self.stage, self.label):
            return self._run(member) if self.optim.epochs else TrainingResult(0, self._validate(), [])

    def _run(self, member: Member) -> TrainingResult:
        bench = self.workbench
        below_head = None if self.learnable_blocks is None else self.learnable_blocks - 1
        member.backbone.set_learnable(0 if self.features is not None else below_head)
        if bench.compute.config.gradient_checkpointing and self.features is None:
            member.backbone.save_memory()
        trainee = Trainee(None if self.features is not None else member.backbone, member.head)
        sampler = self.sampler or SubsetSampler(self._own_samples(self._labels))
        batches = EpochBatches(sampler, self.optim.batch_size, bench.compute, bench.seed, self.stage, self.label)
        steps = len(batches)
        optim = self.optim.model_copy(update={"epochs": self.optim.planned_epochs(len(sampler))})
        task = Task(
            trainee=trainee,
            optim=optim,
            batches=self._feature_batches(batches) if self.features is not None else self._image_batches(batches),
            steps_per_epoch=steps,
            loss=self.loss,
            validate=self._validate,
            before_epoch=lambda epoch: seed_globals(
                stream_seed(bench.seed, self.stage, self.label, "epoch", epoch, bench.compute.rank)
            ),
            after_epoch=lambda epoch, metrics: bench.after_epoch(f"{self.stage}/{self.label}", epoch, metrics),
            parameter_groups=self.parameter_groups,
        )
        checkpoint = Checkpoint(self.folder / "checkpoint", self.label)
        with bench.reporter.training(f"{self.stage} {self.label}", optim.epochs, steps) as bar:
            return train(task, bench.compute, checkpoint, bar)

    @property
    def _labels(self) -> Tensor:
        """int64[M]: dataset class of each training sample."""
        return self.workbench.train.labels if self.labels is None else self.labels

    @cached_property
    def _targets(self) -> Tensor:
        """int64[C]: dataset class -> target among the logits."""
        if self.target_of is not None:
            return self.target_of.to(self.workbench.compute.device)
        member, count = self.member, len(self.workbench.classes)
        outside = len(member.classes) if member.outside == "reject" else -1
        targets = torch.full((count,), outside, dtype=torch.int64)
        targets[member.classes] = torch.arange(len(member.classes))
        return targets.to(self.workbench.compute.device)

    def _own_samples(self, labels: Tensor) -> Tensor:
        """Positions of the samples whose class the member covers."""
        return torch.isin(labels, self.member.classes).nonzero().flatten()

    def _image_batches(self, batches: EpochBatches) -> Callable[[int], Iterator[Part]]:
        bench, compute = self.workbench, self.workbench.compute
        loader = training_loader(bench.train, batches, bench.augment, bench.image_size, compute)
        cuts = isinstance(bench.train, CutSplit)

        def of_epoch(epoch: int) -> Iterator[Part]:
            batches.epoch = epoch
            generator = stream(bench.seed, self.stage, self.label, "augment", epoch, 0)
            for share, batch in zip(batches.shares(), loader, strict=True):
                images = bench.augment.train(compute.images(batch.images), share.draws(generator), cuts)
                yield Part(compute.images(images), self._targets[batch.labels.to(compute.device)], share.total)

        return of_epoch

    def _feature_batches(self, batches: EpochBatches) -> Callable[[int], Iterator[Part]]:
        bench, compute, features = self.workbench, self.workbench.compute, self.features
        assert features is not None
        views, labels = len(features), self._labels

        def of_epoch(epoch: int) -> Iterator[Part]:
            batches.epoch = epoch
            generator = stream(bench.seed, self.stage, self.label, "views", epoch, 0)
            for share in batches.shares():
                view = share.draws(generator).integers(0, views, SAMPLES)
                inputs = features[view, share.samples].to(compute.device)
                yield Part(inputs, self._targets[labels[share.samples].to(compute.device)], share.total)

        return of_epoch

    @cached_property
    def _validation(self) -> Validation:
        if self.validation is not None:
            return self.validation
        labels = self.workbench.val.labels
        indices = self._own_samples(labels)
        return Validation(indices, self._targets.cpu()[labels[indices]])

    def _validate(self) -> float:
        bench, validation = self.workbench, self._validation
        if not len(validation.indices):
            raise DataError(f"{self.stage} {self.label}: the validation split holds no sample to select the epoch on.")
        if self.features is not None:
            features = bench.features.get(self.member.backbone, "val", bench.val)[validation.indices]
            logits = apply_head(self.member.head, features, bench.compute)
        else:
            view = View(bench.augment, bench.image_size)
            logits = run_over(self.member.module, bench.val, bench.compute, view, validation.indices)
        return 100.0 * int((logits.argmax(dim=1) == validation.targets).sum()) / len(validation.targets)
