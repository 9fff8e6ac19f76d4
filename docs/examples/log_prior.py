"""Post-hoc logit adjustment as a fuser (Menon et al. 2021, equation 8): the members' mean posterior over the prior.

It learns nothing: the training counts are all that it uses. It is for members trained without a correction for class
frequencies.

ltbench --plugin docs/examples/log_prior.py run --method baseline --fuser log-prior
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from ltbench.fuser import Fuser, FuserConfig, MemberLogits
from ltbench.plugin import FuserSpec, hookimpl
from ltbench.posterior import fuse_in_chunks, log_g, log_softmax


class LogPrior(Fuser):
    class Config(FuserConfig):
        tau: float = Field(1.0, ge=0, description="weight of the log prior")

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(members, self.num_classes, self.adjusted)

    def adjusted(self, members: list[MemberLogits]) -> Tensor:
        """log q up to a constant, float64[N, C]."""
        posteriors = [log_g(log_softmax(member.logits), member, self.num_classes) for member in members]
        counts = self.train_counts.clamp(min=1).double()
        return torch.stack(posteriors).logsumexp(dim=0) - self.config.tau * (counts / counts.sum()).log()


@hookimpl
def ltbench_fusers() -> Iterator[FuserSpec]:
    yield FuserSpec(
        "log-prior",
        target="log_prior:LogPrior",
        summary="Mean of the posteriors, divided by the class frequencies. Learns nothing.",
        paper="Menon et al. 2021",
    )
