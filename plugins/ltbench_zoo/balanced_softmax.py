"""Balanced softmax: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, Eq. 3 and 4.

Its meta sampler, for data sets whose batches miss most classes, is not part of it.
"""

from torch import Tensor
from torch.nn import functional as F

from ltbench.method import OneClassifier


class BalancedSoftmax(OneClassifier):
    """Trained as the baseline. The counts are part of the loss alone: the classifier answers its plain logits."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """-log(n_y exp(z_y) / sum_c n_c exp(z_c)), mean over the batch (Eq. 4)."""
        return F.cross_entropy(logits + self.context.classes.train_counts.to(logits).log(), targets)
