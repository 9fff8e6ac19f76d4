"""Balanced softmax (Ren et al. 2020): the baseline with the log of the training counts added to the logits in training.

ltbench --plugin docs/examples/shifted_softmax.py run --method shifted-softmax
"""

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import OneClassifier
from ltbench.plugin import MethodSpec, hookimpl


class ShiftedSoftmax(OneClassifier):
    class Config(OneClassifier.Config):
        tau: float = Field(1.0, ge=0, description="weight of the log counts")

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch: logits float[B, C], targets int64[B]."""
        log_counts = self.context.classes.train_counts.to(logits).log()
        return F.cross_entropy(logits + self.config.tau * log_counts, targets)


@hookimpl
def ltbench_methods():
    yield MethodSpec(
        "shifted-softmax",
        target="shifted_softmax:ShiftedSoftmax",
        summary="Softmax over logits shifted by the log of the training counts.",
        paper="Ren et al. 2020",
        recipe="baseline",
    )
