"""MiSLAS (Zhong et al. 2021): a network trained with mixup, then a classifier with label-aware smoothing on top of it.

Stage two keeps the network and its classifier, and learns a scale for each class from class-balanced batches. The more images
a class has, the more its targets are smoothed (the concave form). Where the network has BatchNorm, its statistics
are learned again from class-balanced images first.

ltbench --plugin docs/examples/mixup_smoothing.py run --method label-aware
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import ClassBalancedSampler, EpochSampler
from ltbench.method import Member, MethodContext, OneClassifier
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.mixing import MixConfig


class Mixed(OneClassifier):
    def mixing(self) -> MixConfig:
        return MixConfig(mixup=0.2)


class Scaled(nn.Linear):
    """A linear classifier with a learnable scale for each class, the one thing in it that learns."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * super().forward(features)


class LabelAware(OneClassifier):
    class Config(OneClassifier.Config):
        most: float = Field(0.3, ge=0, lt=1, description="smoothing of the class with most images; the rarest has none")

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return Scaled(num_features, num_classes)

    def sampler(self, context: MethodContext) -> EpochSampler:
        return ClassBalancedSampler(context.train_split.labels)

    def start(self, member: Member) -> None:
        (first,) = self.context.stage("mixed-images")
        member.module.load_state_dict(first.module.state_dict(), strict=False)  # all but the scale
        member.backbone.train().requires_grad_(False)
        for batch in self.context.batches(0, batch_size=128, sampler=self.sampler(self.context)):
            member.backbone(batch.views[0])

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        counts = self.context.classes.train_counts.to(logits)
        rank = (counts - counts.min()) / (counts.max() - counts.min()).clamp(min=1)
        smoothing = self.config.most * (rank * torch.pi / 2).sin()[targets, None]
        own = F.one_hot(targets, len(counts)) > 0
        return F.cross_entropy(logits, torch.where(own, 1 - smoothing, smoothing / (len(counts) - 1)))


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec("mixed-images", target="mixup_smoothing:Mixed", recipe="baseline")
    yield MethodSpec("label-aware", target="mixup_smoothing:LabelAware", requires=("mixed-images",), recipe="baseline")
