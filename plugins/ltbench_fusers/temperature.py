"""Temperature scaling of each expert before soft voting (Sec. 4.6; Guo et al. 2017, Sec. 4.2).

Every member is calibrated by itself: T_E minimises the cross entropy of softmax(z_E / T) on the validation samples that it has
an answer for. A reject member answers "outside" for the others' classes; one trained with outlier exposure has no answer there.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from scipy.optimize import minimize_scalar
from torch import Tensor

from ltbench.common.threads import map_parts
from ltbench.fuser import Fuser, FuserConfig, MemberLogits
from ltbench.posterior import chunks, fuse_in_chunks, log_softmax
from ltbench_fusers.soft_voting import log_vote


class Temperature(Fuser):
    """One temperature for each member, then soft voting."""

    class Config(FuserConfig):
        limit: float = Field(1000.0, gt=1, description="temperatures stay within 1 / limit and limit")

    def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
        self._temperatures = {
            member.name: fit_temperature(member, labels, self.num_classes, self.config.limit) for member in members
        }

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(members, self.num_classes, self._vote)

    def _vote(self, members: Sequence[MemberLogits]) -> Tensor:
        scaled = (log_softmax(member.logits.double() / self._temperatures[member.name]) for member in members)
        return log_vote(members, scaled, self.num_classes)

    def state(self) -> dict[str, Any]:
        """``temperatures``: member name -> T."""
        return {"temperatures": self._temperatures}


def fit_temperature(member: MemberLogits, labels: Tensor, num_classes: int, limit: float) -> float:
    """T that minimises the member's own cross entropy. It has a single minimum, as the loss is convex in 1 / T."""
    answer = torch.full((num_classes,), len(member.classes) if member.outside == "reject" else -1)
    answer[member.classes] = torch.arange(len(member.classes))
    targets = answer[labels]
    answered = targets >= 0
    logits, targets = member.logits[answered], targets[answered][:, None]
    if not len(targets):
        return 1.0

    def loss(log_temperature: float) -> float:
        def summed(part: slice) -> float:
            return -float(log_softmax(logits[part].double() / math.exp(log_temperature)).gather(1, targets[part]).sum())

        return sum(map_parts(summed, chunks(len(logits), logits.shape[1]))) / len(logits)

    bound = math.log(limit)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)
