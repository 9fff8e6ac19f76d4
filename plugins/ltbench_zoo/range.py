"""Range loss: Zhang et al., "Range Loss for Deep Face Recognition with Long-Tailed Training Data", ICCV 2017, Eq. 3 to 6.

Beside cross entropy, as the row of long-tailed papers (Liu et al., CVPR 2019; Sharma et al. 2020, Tables 8 and 9) has it.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.data.samplers import ClassAwareSampler, EpochSampler
from ltbench.method import MethodContext, OneClassifier

EPSILON = 1e-6
"""Distances count as at least this: two views of one image may be alike, and 1 / D has a pole."""


class Range(OneClassifier):
    """Trained as the baseline, on batches that hold several images of each of their classes."""

    class Config(OneClassifier.Config):
        largest: int = Field(2, ge=1, description="k: distances within a class that count, the largest")
        margin: float = Field(0.1, ge=0, description="m: distance up to which the nearest centres are pushed apart")
        intra: float = Field(0.5, ge=0, description="alpha: weight of the distances within classes")
        inter: float = Field(0.5, ge=0, description="beta: weight of the distance between the nearest centres")
        weight: float = Field(0.001, ge=0, description="lambda: of the range loss beside cross entropy")
        samples_per_class: int = Field(4, ge=2, description="samples of each class in a class-aware batch")

    def sampler(self, context: MethodContext) -> EpochSampler:
        return ClassAwareSampler(
            context.train_split.labels, self.config.optim.batch_size, self.config.samples_per_class
        )

    def loss(self, logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:  # type: ignore[override]
        config = self.config
        ranges = config.intra * intra(features, targets, config.largest)
        ranges = ranges + config.inter * inter(features, targets, config.margin)
        return F.cross_entropy(logits, targets) + config.weight * ranges


def intra(features: Tensor, targets: Tensor, largest: int) -> Tensor:
    """k / sum_j 1 / D_j, the harmonic mean of the k largest distances within a class (Eq. 4); the mean over the classes.

    The paper adds the classes up; the mean does not depend on how many a batch holds. A class with fewer than k pairs has
    those it has, one with a single sample has no range.

    Args:
        features: float[B, D].
        targets: int64[B].
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist").clamp(min=EPSILON)
    ranges = []
    for target in targets.unique():
        own = (targets == target).nonzero().flatten()
        pairs = distances[own][:, own][tuple(torch.triu_indices(len(own), len(own), offset=1))]
        if len(pairs):
            ranges.append(1 / (1 / pairs.topk(min(largest, len(pairs))).values).mean())
    return torch.stack(ranges).mean() if ranges else features.sum() * 0.0


def inter(features: Tensor, targets: Tensor, margin: float) -> Tensor:
    """max(0, m - the smallest distance between two class centres of the batch) (Eq. 6); 0 for a single class."""
    members = F.one_hot(targets.unique(return_inverse=True)[1]).to(features).T
    centres = members @ features / members.sum(dim=1, keepdim=True)
    if len(centres) < 2:
        return features.sum() * 0.0
    return F.relu(margin - F.pdist(centres).min())
