"""Focal loss: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 4, for one of C classes.

Without the class weights alpha of Eq. 5: the rows that long-tailed papers call focal have none.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import OneClassifier

SMALLEST = 1e-8
"""1 - p counts as at least this much: for gamma < 1 the gradient at p = 1 has a pole."""


class Focal(OneClassifier):
    """Trained as the baseline; what is classified well already counts less."""

    class Config(OneClassifier.Config):
        gamma: float = Field(2.0, ge=0, description="how much less; 0: cross entropy")

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """-(1 - p_y)^gamma log p_y of each sample, then the mean (Eq. 4)."""
        log_p = -F.cross_entropy(logits, targets, reduction="none")
        return -((-torch.expm1(log_p)).clamp(min=SMALLEST) ** self.config.gamma * log_p).mean()
