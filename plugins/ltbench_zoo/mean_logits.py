"""The mean of logits: how RIDE, SADE and BalPoE make one posterior of their experts."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ltbench.errors import UsageError
from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks


class MeanLogits(Fuser):
    """softmax of the mean of logits: the product of the members' posteriors to the power 1/E, normalised (Aimar et al. 2023).

    One vote for each method: first the mean over its own members. Learns nothing.
    """

    @property
    def fitted_on(self) -> Literal["nothing"]:
        return "nothing"

    def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
        """Nothing; but members without a mean are refused here, not only when it is too late."""
        if partial := [member.name for member in members if member.outside != "none"]:
            raise UsageError(f"fuser mean-logits is for members over all classes; {', '.join(partial)} covers some.")

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(members, self.num_classes, mean_of_methods)


def mean_of_methods(members: Sequence[MemberLogits]) -> Tensor:
    """float64[n, C]"""
    own: dict[str, list[Tensor]] = {}
    for member in members:
        own.setdefault(member.method, []).append(member.logits.double())
    return torch.stack([torch.stack(logits).mean(dim=0) for logits in own.values()]).mean(dim=0)
