"""LDAM with deferred reweighting (Cao et al. 2019): margins that are larger for rarer classes, class weights late.

The margin of class c is proportional to n_c^(-1/4), the largest is ``max_margin`` (equation 13); logits are ``scale`` times
cosines. In the last part of the training the loss of a sample is weighted by (1 - beta) / (1 - beta^n_c) (Cui et al. 2019).
The weights have mean 1 over the training samples: a mean that each batch's own weights normalise, as F.cross_entropy(weight=)
has it, would depend on how a batch is dealt to processes.

ltbench --plugin docs/examples/ldam_drw.py run --method ldam-deferred
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import OneClassifier
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.step import Step


class Cosine(nn.Module):
    """Features float[B, D] -> ``scale`` times their cosines to the classes' weight vectors, float[B, C]."""

    def __init__(self, num_features: int, num_classes: int, scale: float) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(num_classes, num_features)), scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))


class LDAM(OneClassifier):
    class Config(OneClassifier.Config):
        max_margin: float = Field(0.5, gt=0, description="margin of the rarest class, in units of a cosine")
        scale: float = Field(30.0, gt=0, description="factor on the cosines")
        beta: float = Field(0.9999, gt=0, lt=1, description="of the class weights; nearer to 1: nearer to 1 / n")
        reweight_from: float = Field(
            0.8, ge=0, le=1, description="share of the epochs after which classes are weighted"
        )

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return Cosine(num_features, num_classes, self.config.scale)

    def objective(self, step: Step) -> Tensor:
        counts, config = self.context.classes.train_counts.double(), self.config
        margins = config.max_margin * (counts.clamp(min=1) / counts[counts > 0].min()) ** -0.25
        weights = (1 - config.beta) / (1 - config.beta ** counts.clamp(min=1))
        weights = weights * counts.sum() / (weights * counts).sum()
        if step.epoch < config.reweight_from * step.epochs:
            weights = torch.ones_like(counts)

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            margin = F.one_hot(targets, len(counts)) * config.scale * margins.to(logits)
            return (weights.to(logits)[targets] * F.cross_entropy(logits - margin, targets, reduction="none")).mean()

        return step.loss_of(loss)


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec("ldam-deferred", target="ldam_drw:LDAM", paper="Cao et al. 2019", recipe="baseline")
