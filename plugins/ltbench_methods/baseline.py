"""Baseline: one classifier over all classes, cross entropy, instance-balanced sampling (Sec. 3.1 and 4)."""

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones import load_checkpoint, load_classifier
from ltbench.data.samplers import EpochSampler, InstanceSampler
from ltbench.method import Member, Method, MethodConfig, MethodContext
from ltbench.optim import OptimConfig


class Baseline(Method):
    """Most methods that change the loss or the sampling are a subclass that overrides :meth:`loss` or :meth:`sampler`.

    Attributes:
        context: of the training, from ``fit`` on; ``self.context.classes.train_counts`` is what many losses need.
    """

    context: MethodContext

    class Config(MethodConfig):
        optim: OptimConfig = Field(
            OptimConfig(epochs=100, batch_size=512, lr=0.2), description="how the classifier is trained"
        )
        checkpoint: Path | None = Field(
            None,
            description="start from the backbone and the classifier in this file; optim.epochs = 0 uses them as they are",
        )

    def build(self, context: MethodContext) -> list[Member]:
        backbone = context.new_backbone()
        return [
            Member(
                "all",
                torch.arange(len(context.classes)),
                backbone,
                self.head(backbone.num_features, len(context.classes)),
            )
        ]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        self.context = context
        (member,) = members
        if self.config.checkpoint is not None:
            path = self.config.checkpoint
            load_classifier(member.backbone, member.head, load_checkpoint(path), path)
        result = context.train_classifier(
            member, optim=self.config.optim, sampler=self.sampler(context), loss=self.loss
        )
        context.log(member=member.name, best_epoch=result.best_epoch, best_accuracy=result.best_accuracy)

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        """The classifier: features float[B, D] -> logits float[B, C]."""
        return nn.Linear(num_features, num_classes)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch: logits float[B, C], targets int64[B]."""
        return F.cross_entropy(logits, targets)

    def sampler(self, context: MethodContext) -> EpochSampler:
        """Which training samples an epoch passes over, and in which order."""
        return InstanceSampler(len(context.train))
