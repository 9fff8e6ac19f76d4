"""Lifted structure loss: Oh Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016, Eq. 4.

Beside cross entropy, as the row of long-tailed papers (Liu et al., CVPR 2019; Sharma et al. 2020, Tables 8 and 9) has it.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.data.samplers import ClassAwareSampler, EpochSampler
from ltbench.method import MethodContext, OneClassifier

NEVER = -1e4
"""Stands for log 0 among negatives: no gradient is NaN where a batch has none."""


class Lifted(OneClassifier):
    """Trained as the baseline, on batches that hold several images of each of their classes."""

    class Config(OneClassifier.Config):
        margin: float = Field(1.0, ge=0, description="alpha: distance up to which negatives are pushed away")
        weight: float = Field(0.01, ge=0, description="of the lifted loss beside cross entropy")
        samples_per_class: int = Field(4, ge=2, description="samples of each class in a class-aware batch")

    def sampler(self, context: MethodContext) -> EpochSampler:
        return ClassAwareSampler(
            context.train_split.labels, self.config.optim.batch_size, self.config.samples_per_class
        )

    def loss(self, logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:  # type: ignore[override]
        lifted = lifted_structure(features, targets, self.config.margin)
        return F.cross_entropy(logits, targets) + self.config.weight * lifted


def lifted_structure(features: Tensor, targets: Tensor, margin: float) -> Tensor:
    """1 / (2 |P|) sum over the pairs (i, j) of one class of max(0, J_ij)^2, 0 without such a pair (Eq. 4);

    J_ij = D_ij + log(sum_k exp(alpha - D_ik) + sum_l exp(alpha - D_jl)), k and l over the samples of other classes than i and j.

    Args:
        features: float[B, D], D_ij their Euclidean distance.
        targets: int64[B].
        margin: alpha.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = targets[:, None] == targets
    first, second = same.triu(diagonal=1).nonzero(as_tuple=True)
    if not len(first):
        return features.sum() * 0.0
    negatives = (margin - distances).masked_fill(same, NEVER).logsumexp(dim=1)
    joined = distances[first, second] + torch.logaddexp(negatives[first], negatives[second])
    return F.relu(joined).square().mean() / 2
