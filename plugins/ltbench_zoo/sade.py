"""SADE: Zhang et al., "Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition", NeurIPS 2022.

Skill-diverse experts, averaged. Not here: the experts' weights, which are learned on the test images from two views of each.
"""

import torch
from pydantic import Field
from torch import Tensor

from ltbench_zoo.experts import ShiftedExperts
from ltbench_zoo.weights import log_frequencies


class SADE(ShiftedExperts):
    """One expert for the long-tailed, one for the uniform and one for the inversely long-tailed class distribution."""

    class Config(ShiftedExperts.Config):
        tau: float = Field(2.0, ge=0, description="weight of the inverse prior in the third expert's loss")

    @property
    def number(self) -> int:
        return 3

    def shifts(self) -> Tensor:
        """The forward, uniform and backward expert: 0, log pi and log pi - tau log pi~, pi~ the inverse prior: float32[3, C]."""
        counts = self.context.classes.train_counts
        log_pi, log_inverse = log_frequencies(counts), log_frequencies(inverse(counts))
        return torch.stack([torch.zeros_like(log_pi), log_pi, log_pi - self.config.tau * log_inverse])


def inverse(counts: Tensor) -> Tensor:
    """The same numbers in the inverse order: the class with most images gets the fewest, and so on; int64[C]."""
    order = counts.argsort(stable=True)
    return torch.empty_like(counts).index_copy_(0, order, counts[order].flip(0))
