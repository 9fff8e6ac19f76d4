"""Soft voting (Sec. 3.3.2): the mean of the full posteriors."""

import math

import torch
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks, log_g, log_softmax


def log_vote(members: list[MemberLogits], num_classes: int) -> Tensor:
    """log q = log(sum_E g(p_E) / sum_E 1), one vote for each method: float64[n, C], rows summing to 1.

    A method with several members first becomes one posterior, the mean over its own. With members of a single method
    this is the paper's equation as it stands.
    """
    methods: dict[str, list[MemberLogits]] = {}
    for member in members:
        methods.setdefault(member.method, []).append(member)
    log_q = torch.full((len(members[0]), num_classes), -torch.inf, dtype=torch.float64)
    for own in methods.values():
        log_share = -math.log(len(own) * len(methods))
        for member in own:
            log_q = torch.logaddexp(log_q, log_g(log_softmax(member.logits), member, num_classes) + log_share)
    return log_q


class SoftVoting(Fuser):
    """Sum of the members' full posteriors, normalised. Learns nothing."""

    def _log_posterior(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(members, self.num_classes, lambda chunk: log_vote(chunk, self.num_classes))
