"""BalPoE: Aimar et al., "Balanced Product of Calibrated Experts for Long-Tailed Recognition", CVPR 2023.

Logit-adjusted experts of several tau: the mean of their logits is as if of one expert of the mean tau, balanced where that is 1
and the experts are calibrated. That is what mixup is for.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from ltbench.method import MixConfig
from ltbench.training.step import Step
from ltbench_zoo.experts import ShiftedExperts
from ltbench_zoo.weights import log_frequencies


class BalPoE(ShiftedExperts):
    """Always on mixed images: without mixup the experts are not calibrated, and their product is biased."""

    class Config(ShiftedExperts.Config):
        taus: tuple[float, ...] = Field(
            (0.0, 1.0, 2.0), min_length=1, description="of each expert: weight of the log frequencies in its loss"
        )
        alpha: float = Field(0.4, gt=0, description="mixup: lambda is drawn from Beta(alpha, alpha)")

    @property
    def number(self) -> int:
        return len(self.config.taus)

    def mixing(self) -> MixConfig:
        return MixConfig(mixup=self.config.alpha)

    def shifts(self) -> Tensor:
        """tau_e log pi: float32[E, C], the logit-adjusted loss of each expert."""
        return torch.tensor(self.config.taus)[:, None] * log_frequencies(self.context.classes.train_counts)

    def objective(self, step: Step) -> Mapping[str, Tensor]:
        """The mean of the experts' losses, as in the authors' code."""
        losses = super().objective(step)
        return {"loss": torch.stack(list(losses.values())).mean(), **losses}
