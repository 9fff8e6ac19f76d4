"""Logit-adjusted loss: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, Sec. 5, Eq. 10.

The post-hoc form (Sec. 4.1) is the fuser ``logit-adjustment``, for classifiers trained without the log prior. This one has it
already: never both.
"""

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import OneClassifier


class LogitAdjusted(OneClassifier):
    """Trained as the baseline. The prior is part of the loss alone: the classifier answers its plain logits."""

    class Config(OneClassifier.Config):
        tau: float = Field(1.0, ge=0, description="weight of the log frequencies")

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """-log softmax_y(z + tau log pi), mean over the batch (Eq. 10); pi: the training frequencies."""
        counts = self.context.classes.train_counts.to(logits)
        return F.cross_entropy(logits + self.config.tau * (counts / counts.sum()).log(), targets)
