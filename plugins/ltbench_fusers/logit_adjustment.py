"""Post-hoc logit adjustment (Menon et al., ICLR 2021, Sec. 4.1): argmax of z - tau log pi, pi the training frequencies.

It is for classifiers trained without a correction for the class frequencies: one that had the log prior added in training is
adjusted already.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ltbench.errors import DataError, UsageError
from ltbench.fuser import FittedOn, Fuser, FuserConfig, MemberLogits

GRID = torch.arange(21, dtype=torch.float64) / 10
"""Values of tau among which validation chooses."""


class LogitAdjustment(Fuser):
    """The mean of the logits of members over all classes, less tau log pi. With ``tau = "val"`` it is another row: then
    validation labels chose it."""

    class Config(FuserConfig):
        tau: float | Literal["val"] = Field(
            1.0, description="weight of the log frequencies, or val: of 0 to 2 by 0.1 the best on validation"
        )

    @property
    def fitted_on(self) -> FittedOn:
        return "val" if self.config.tau == "val" else "nothing"

    def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
        logits, log_prior = self._mean(members), self._log_prior()  # refused here, not only when it is too late
        if self.config.tau == "val":
            right = torch.stack([((logits - tau * log_prior).argmax(dim=1) == labels).sum() for tau in GRID])
            self._tau = float(GRID[right.argmax()])

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        tau = self._tau if self.config.tau == "val" else self.config.tau
        return (self._mean(members) - tau * self._log_prior()).log_softmax(dim=1).float()

    def _mean(self, members: list[MemberLogits]) -> Tensor:
        """float64[N, C]"""
        if partial := [member.name for member in members if member.outside != "none"]:
            raise UsageError(
                f"fuser logit-adjustment is for members over all classes; {', '.join(partial)} covers some."
            )
        return torch.stack([member.logits.double() for member in members]).mean(dim=0)

    def _log_prior(self) -> Tensor:
        counts = self.train_counts.double()
        if (counts == 0).any():
            raise DataError(
                f"class {int((counts == 0).nonzero()[0])} has no training image: its frequency has no logarithm."
            )
        return (counts / counts.sum()).log()

    def state(self) -> dict[str, Any]:
        """``tau``, where validation chose it."""
        return {"tau": self._tau} if self.config.tau == "val" else {}
