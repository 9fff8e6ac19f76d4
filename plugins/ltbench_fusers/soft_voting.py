"""Soft voting (Sec. 3.3.2): the mean of the full posteriors."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks, log_g, log_softmax


def log_vote(members: Sequence[MemberLogits], log_p: Iterable[Tensor], num_classes: int) -> Tensor:
    """log q = log(sum_E g(p_E) / sum_E 1), one vote for each method: float64[n, C], rows summing to 1.

    A method with several members first becomes one posterior, the mean over its own. With members of a single method
    this is the paper's equation as it stands. ``log_p`` are the members' log p_E, float64[n, K or K + 1] each.
    """
    own = Counter(member.method for member in members)
    log_q = torch.full((len(members[0]), num_classes), -torch.inf, dtype=torch.float64)
    for member, own_log_p in zip(members, log_p, strict=True):
        log_share = -math.log(own[member.method] * len(own))
        log_q = torch.logaddexp(log_q, log_g(own_log_p, member, num_classes) + log_share)
    return log_q


class SoftVoting(Fuser):
    """Sum of the members' full posteriors, normalised. Learns nothing."""

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(members, self.num_classes, self._vote)

    def _vote(self, members: Sequence[MemberLogits]) -> Tensor:
        return log_vote(members, (log_softmax(member.logits) for member in members), self.num_classes)
