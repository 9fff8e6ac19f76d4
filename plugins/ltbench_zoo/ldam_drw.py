"""LDAM-DRW: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019.

Label-distribution-aware margins (Sec. 3.2) and deferred reweighting (Sec. 3.3, Algorithm 1).
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import OneClassifier
from ltbench.training.step import Step
from ltbench_zoo.heads import CosineHead
from ltbench_zoo.weights import class_balanced


class LDAM(OneClassifier):
    """Margins are meant for cosines: the classifier is always a :class:`~ltbench_zoo.heads.CosineHead`."""

    class Config(OneClassifier.Config):
        max_margin: float = Field(0.5, ge=0, description="margin of the rarest class, in units of the cosine")
        scale: float = Field(30.0, gt=0, description="what cosines are multiplied by")
        defer: float = Field(0.8, ge=0, le=1, description="share of the epochs before classes are weighted; 1: never")
        beta: float = Field(0.9999, ge=0, lt=1, description="of the class weights (Cui et al. 2019)")

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return CosineHead(num_features, num_classes, self.config.scale)

    def objective(self, step: Step) -> Tensor:
        """The weighted mean of :meth:`losses`: sum_i w_i l_i / sum_i w_i, the sums over the whole batch."""
        counts = self.context.classes.train_counts
        deferred = step.epoch >= self.config.defer * step.epochs
        weights = (class_balanced(counts, self.config.beta) if deferred else torch.ones(len(counts))).to(
            step.targets.device
        )
        mean_weight = step.gather(weights[step.targets]).mean()
        return step.loss_of(
            lambda logits, targets: (weights[targets] * self.losses(logits, targets)).mean() / mean_weight
        )

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """:func:`ldam` of each sample: float[B]."""
        margins = margins_of(self.context.classes.train_counts, self.config.max_margin)
        return ldam(logits, targets, margins, self.config.scale)


def ldam(logits: Tensor, targets: Tensor, margins: Tensor, scale: float) -> Tensor:
    """-log softmax_y(s (cos - D_y e_y)) of each sample (Eq. 13): float[B] from logits s cos, float[B, C]."""
    lowered = scale * margins.to(logits)[targets, None] * F.one_hot(targets, logits.shape[1])
    return F.cross_entropy(logits - lowered, targets, reduction="none")


def margins_of(counts: Tensor, largest: float) -> Tensor:
    """Delta_c proportional to n_c^(-1/4), scaled so that the largest is ``largest`` (Eq. 12): float32[C]."""
    margins = counts.clamp(min=1).double() ** -0.25
    return (margins * (largest / margins.max())).float()
