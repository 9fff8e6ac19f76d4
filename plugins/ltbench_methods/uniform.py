"""Uniform: the baseline's classifier trained again with class-balanced sampling, its backbone frozen (Sec. 4.4 iii).

Elsewhere known as classifier re-training, cRT (Kang et al. 2020).
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ltbench.data.samplers import ClassBalancedSampler, EpochSampler
from ltbench.method import Member, Method, MethodConfig, MethodContext
from ltbench.training.optim import OptimConfig


class Uniform(Method):
    """Trains on features computed once; a subclass may choose others (:meth:`training_set`, :meth:`sampler`)."""

    class Config(MethodConfig):
        views: int = Field(
            default=1, ge=1, description="views of each image whose features are used: the plain one and augmented ones"
        )
        head_init: Literal["copy", "new"] = Field(
            default="copy", description="start from the baseline's classifier, or from a new one"
        )
        optim: OptimConfig = Field(
            default=OptimConfig(epochs=10, batch_size=512, lr=0.1), description="how the classifier is trained"
        )

    def build(self, context: MethodContext) -> list[Member]:
        backbone = context.new_backbone()
        head = nn.Linear(backbone.num_features, len(context.classes))
        return [Member("all", torch.arange(len(context.classes)), backbone, head)]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        (baseline,), (member,) = context.stage("baseline"), members
        member.backbone.load_state_dict(baseline.backbone.state_dict())
        if self.config.head_init == "copy":
            member.head.load_state_dict(baseline.head.state_dict())
        features = context.features(member.backbone, "train", self.config.views)
        features, labels = self.training_set(context, baseline, features)
        result = context.train(
            member, optim=self.config.optim, sampler=self.sampler(labels), features=features, labels=labels
        )
        context.log(member=member.name, best_epoch=result.best_epoch, best_accuracy=result.best_accuracy)

    def training_set(self, context: MethodContext, baseline: Member, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the classifier is trained on, from the training split's features float[V, N, D] in V views.

        Returns:
            Features float[V, M, D] and their labels int64[M], dataset class ids.
        """
        return features, context.train_split.labels

    def sampler(self, labels: Tensor) -> EpochSampler:
        """The order of training positions in each epoch: every class is as likely as any other."""
        return ClassBalancedSampler(labels)
