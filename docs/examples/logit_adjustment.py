"""Logit adjustment in training (Menon et al. 2021, equation 10): cross entropy of the logits plus tau times the log prior.

What is not rare needs a larger margin; at test the plain logits are those of a balanced prior. On a classifier that was
trained so the post-hoc form (log_prior.py) would adjust twice.

ltbench --plugin docs/examples/logit_adjustment.py run --method prior-shifted
"""

from collections.abc import Iterator

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import OneClassifier
from ltbench.plugin import MethodSpec, hookimpl


class LogitAdjusted(OneClassifier):
    class Config(OneClassifier.Config):
        tau: float = Field(1.0, ge=0, description="weight of the log prior")

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch: logits float[B, C], targets int64[B] or float[B, C]."""
        counts = self.context.classes.train_counts.to(logits)
        log_prior = (counts / counts.sum()).log()
        return F.cross_entropy(logits + self.config.tau * log_prior, targets)


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec(
        "prior-shifted",
        target="logit_adjustment:LogitAdjusted",
        summary="Cross entropy of the logits plus tau times the log of the class frequencies.",
        paper="Menon et al. 2021",
        recipe="baseline",
    )
