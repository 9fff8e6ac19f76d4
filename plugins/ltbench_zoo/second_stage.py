"""What decoupled training has in common (Kang et al., ICLR 2020): a classifier on the frozen features of a first stage."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import ClassAwareSampler
from ltbench.method import Member, Method, MethodConfig, MethodContext
from ltbench.training.optim import OptimConfig
from ltbench.training.request import Training


class SecondStage(Method):
    """Class-balanced batches of the features of ``first``, which are computed once. Override the head and what it starts from.

    Attributes:
        first: the method whose backbone it has; its spec must require it.
        context: of the training, from ``fit`` on.
    """

    first: ClassVar[str] = "baseline"
    context: MethodContext

    class Config(MethodConfig):
        optim: OptimConfig = Field(
            OptimConfig(epochs=10, batch_size=512, lr=0.2), description="how the classifier is trained"
        )
        views: int = Field(5, ge=1, description="views of each image: the plain one and augmented ones")
        samples_per_class: int = Field(4, ge=1, description="samples of each class in a class-aware batch")

    def build(self, context: MethodContext) -> list[Member]:
        backbone, classes = context.new_backbone(), torch.arange(len(context.classes))
        return [Member("all", classes, backbone, self.head(backbone.num_features, len(classes)))]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        self.context = context
        (first,), (member,) = context.stage(self.first), members
        member.backbone.load_state_dict(first.backbone.state_dict())
        self.start(member, first)
        result = context.train(member, **self.training(member))
        context.log(member=member.name, best_epoch=result.best_epoch, best_accuracy=result.best_accuracy)

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        """The classifier: features float[B, D] -> logits float[B, C]."""
        return nn.Linear(num_features, num_classes)

    def start(self, member: Member, first: Member) -> None:
        """Before the training: what the head takes over from the first stage's; by default nothing."""

    def training(self, member: Member) -> Training:
        """The arguments of the training of the head."""
        labels, config = self.context.train_split.labels, self.config
        return {
            "optim": config.optim,
            "loss": self.loss,
            "sampler": ClassAwareSampler(labels, config.optim.batch_size, config.samples_per_class),
            "features": self.context.features(member.backbone, "train", config.views),
        }

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch: logits float[B, C], targets int64[B]."""
        return F.cross_entropy(logits, targets)
