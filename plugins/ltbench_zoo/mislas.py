"""MiSLAS: Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021. Stage 1 is ``mixup``.

Stage 2: BatchNorm statistics learned again (Sec. 3.4), learnable weight scaling and label-aware smoothing (Sec. 3.3).
"""

import math
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import ClassBalancedSampler
from ltbench.method import Member
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step
from ltbench_zoo.heads import ScaledHead
from ltbench_zoo.second_stage import SecondStage


class MiSLAS(SecondStage):
    """As in the authors' code the classifier learns beside its scales, from stage 1's."""

    first = "mixup"

    class Config(SecondStage.Config):
        optim: OptimConfig = Field(
            OptimConfig(epochs=10, batch_size=256, lr=0.1), description="how the classifier is trained"
        )
        smooth_head: float = Field(0.3, ge=0, lt=1, description="smoothing of the most frequent class")
        smooth_tail: float = Field(0.0, ge=0, lt=1, description="smoothing of the rarest class")
        statistics_epochs: int = Field(
            1, ge=0, description="class-balanced passes in which BatchNorm's statistics are learned again"
        )

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return ScaledHead(num_features, num_classes, learn_weights=True)

    def start(self, member: Member, first: Member) -> None:
        cast(ScaledHead, member.head).linear.load_state_dict(first.head.state_dict())
        if self.config.statistics_epochs:
            self.context.train(
                member,
                optim=self.config.optim.model_copy(update={"epochs": self.config.statistics_epochs, "min_steps": 0}),
                sampler=ClassBalancedSampler(self.context.train_split.labels),
                update=only_look,
                label="statistics",
            )

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(1 - e_y)(-log p_y) + e_y mean_c(-log p_c), mean over the batch (Eq. 4 and 5, as in the authors' code)."""
        counts = self.context.classes.train_counts
        smoothing = smoothing_of(counts, self.config.smooth_head, self.config.smooth_tail).to(logits)[targets]
        log_p = F.log_softmax(logits, dim=1)
        own = F.nll_loss(log_p, targets, reduction="none")
        return ((1 - smoothing) * own - smoothing * log_p.mean(dim=1)).mean()


def only_look(step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
    """A step that changes no weight: the forward pass alone, which is what BatchNorm's statistics learn from."""
    with torch.no_grad():
        return step.loss_of(F.cross_entropy)


def smoothing_of(counts: Tensor, head: float, tail: float) -> Tensor:
    """e_c = tail + (head - tail) sin(pi/2 (n_c - n_min) / (n_max - n_min)), the concave form (Eq. 6): float32[C]."""
    exact = counts.double()
    spread = (exact.max() - exact.min()).clamp(min=1)
    return (tail + (head - tail) * (math.pi / 2 * (exact - exact.min()) / spread).sin()).float()
