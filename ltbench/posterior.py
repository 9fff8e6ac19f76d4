"""The mathematics that fusers share, on :class:`~ltbench.fuser.MemberLogits`, in log space and float64.

Notation as in :mod:`ltbench.fuser`: p_E = softmax(z_E) over the classes S_E of member E (and its reject class, with
probability r_E); g(.) turns a partial posterior into a full one (paper, Sec. 3.3.2).

A probability of zero is -inf inside this module. A finished posterior holds :data:`LOG_ZERO` in its place, so that what
a fuser answers is always finite.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ltbench.common.threads import map_parts
from ltbench.errors import DataError
from ltbench.fuser import MemberLogits

__all__ = [
    "CHUNK_ELEMENTS",
    "LOG_ZERO",
    "chunks",
    "expert_of_class",
    "finish",
    "fuse_in_chunks",
    "log_add_at",
    "log_g",
    "log_softmax",
]

LOG_ZERO = -1e5
"""Smallest log probability of a finished posterior. It stands for zero; its exponential is 0 in float32 and float64."""

CHUNK_ELEMENTS = 2**19
"""Entries of one float64 array of a chunk (4 MiB). A thread holds a handful of them, however many samples there are."""


def chunks(num_samples: int, width: float) -> list[slice]:
    """Equal slices that cover ``num_samples`` in order, for samples of ``width`` numbers each: about CHUNK_ELEMENTS a slice."""
    count = max(1, math.ceil(num_samples * width / CHUNK_ELEMENTS))
    step = max(1, math.ceil(num_samples / count))
    return [slice(start, start + step) for start in range(0, num_samples, step)]


def log_softmax(logits: Tensor) -> Tensor:
    """log p_E, normalised over all of a member's ``logits``, the reject one too: float[n, W] -> float64[n, W]."""
    return torch.log_softmax(logits, dim=1, dtype=torch.float64)


def log_add_at(total: Tensor, classes: Tensor, log_values: Tensor) -> None:
    """log(exp(total) + exp(values)) in place in the columns ``classes`` int64[K] of ``total`` float64[n, C]; ``log_values``
    float64[n, K]."""
    total[:, classes] = torch.logaddexp(total[:, classes], log_values)


def log_g(log_p: Tensor, member: MemberLogits, num_classes: int) -> Tensor:
    """log g(p_E): the full posterior that a member alone stands for (Sec. 3.3.2).

    ``reject``: r_E shared equally among the classes outside S_E; ``zero``: no probability (-inf) there; ``none``: p_E as
    it is. ``log_p`` is float64[n, K or K + 1], normalised; the answer is float64[n, C] and its rows sum to 1.
    """
    if member.outside == "none":
        return log_p
    covered = len(member.classes)
    log_q = log_p.new_full((len(log_p), num_classes), -torch.inf)
    if member.outside == "reject":
        log_q[:] = log_p[:, covered:] - math.log(num_classes - covered)
    log_q[:, member.classes] = log_p[:, :covered]
    return log_q


def finish(log_q: Tensor) -> Tensor:
    """The rows of ``log_q`` float64[n, C] normalised, and -inf raised to LOG_ZERO. Each row needs one finite entry."""
    return torch.log_softmax(log_q, dim=1).clamp(min=LOG_ZERO)


def fuse_in_chunks(
    members: Sequence[MemberLogits], num_classes: int, fuse: Callable[[list[MemberLogits]], Tensor]
) -> Tensor:
    """``fuse`` a chunk of samples at a time, so that float64 is never held for all of them at once.

    ``fuse`` takes the members of n samples and gives unnormalised log q float64[n, C]; the answer is log q float32[N, C].
    """
    log_q = torch.empty(len(members[0]), num_classes)

    def fill(part: slice) -> None:
        log_q[part] = finish(fuse([member.take(part) for member in members]))

    map_parts(fill, chunks(len(log_q), num_classes))
    return log_q


def expert_of_class(members: Sequence[MemberLogits], num_classes: int) -> Tensor:
    """Position of the one member that covers each class: int64[C].

    Raises:
        DataError: two members cover a class, or none does.
    """
    expert = torch.full((num_classes,), -1, dtype=torch.int64)
    for position, member in enumerate(members):
        taken = member.classes[expert[member.classes] >= 0]
        if len(taken):
            other = members[int(expert[taken[0]])].name
            raise DataError(
                f"members '{other}' and '{member.name}' both cover class {int(taken[0])}: "
                "this needs experts whose class subsets are disjoint."
            )
        expert[member.classes] = position
    if (expert < 0).any():
        raise DataError(
            f"no expert covers class {int((expert < 0).nonzero()[0])}: this needs experts that cover every class."
        )
    return expert
