"""KL-divergence minimisation (Sec. 3.3.1): q = argmin sum_E KL(p_E || q), solved exactly for every sample.

"Probabilities corresponding to out-of-distribution classes for the expert are summed up into one probability score in q"
to meet r_E, so the objective is, up to a constant,

    - sum_E sum_{k in S_E} p_E,k log q_k  -  sum_E r_E log sum_{k not in S_E} q_k        subject to sum_k q_k = 1.     (1)

A member without a reject class has r_E = 0: a full one covers every class, and one trained with outlier exposure gives the
others probability zero (its g(.), Sec. 3.3.2), for which KL counts nothing.

*Blocks.* The reject members' subsets cut the classes into blocks, each inside or outside of any subset as a whole. With
c_k = sum_{E: k in S_E} p_E,k and the masses s_B of q and c_B of c on block B, (1) splits: within a block q_k = s_B c_k / c_B, and

    s = argmin  - sum_B c_B log s_B  -  sum_E r_E log o_E,     o_E = sum_{B not in S_E} s_B,     sum_B s_B = 1.       (2)

For disjoint experts this is the factorisation q_k = s_E p_E,k / (1 - r_E).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks, log_add_at, log_softmax

SMALLEST = 1e-18
"""Block weights and reject probabilities below this are raised to it while (2) is solved: that moves masses by less than 1e-8."""

BISECTIONS = 64
NEWTON_STEPS = 100

CLOSE = 1e-16
"""Products of :func:`masses_by_newton` that miss their value by no more than this are done: the masses are then right to 1e-8."""


class KLDivergence(Fuser):
    """Minimises the summed KL divergence from all members, each counted once. Learns nothing."""

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        blocks = Blocks(members, self.num_classes)
        return fuse_in_chunks(members, self.num_classes, blocks.log_minimiser)


class Blocks:
    """The blocks of a set of members.

    Attributes:
        subset_of: member name -> row of ``outside``, for reject members; equal subsets share a row.
        of_class: int64[C], the block of each class.
        classes: int64 class ids of each of the B blocks.
        outside: bool[R, B], whether a block lies outside of each of the R distinct reject subsets.
    """

    def __init__(self, members: Sequence[MemberLogits], num_classes: int) -> None:
        rows: dict[tuple[int, ...], int] = {}
        self.subset_of: dict[str, int] = {}
        for member in members:
            if member.outside == "reject":
                self.subset_of[member.name] = rows.setdefault(tuple(member.classes.tolist()), len(rows))
        inside = torch.zeros(len(rows), num_classes, dtype=torch.bool)
        for subset, row in rows.items():
            inside[row, list(subset)] = True
        signatures = [tuple(column) for column in inside.T.tolist()]
        distinct = sorted(set(signatures))
        self.of_class = torch.tensor([distinct.index(signature) for signature in signatures])
        self.classes = [(self.of_class == block).nonzero().flatten() for block in range(len(distinct))]
        self.outside = ~torch.tensor(distinct, dtype=torch.bool).T
        self.disjoint = bool((inside.sum(dim=0) <= 1).all())

    def log_minimiser(self, members: Sequence[MemberLogits]) -> Tensor:
        """log q float64[n, C] that minimises (1)."""
        samples = len(members[0])
        log_c = torch.full((samples, len(self.of_class)), -torch.inf, dtype=torch.float64)
        reject = log_c.new_zeros(samples, len(self.outside))
        for member in members:
            log_p = log_softmax(member.logits)
            log_add_at(log_c, member.classes, log_p[:, : len(member.classes)])
            if member.outside == "reject":
                reject[:, self.subset_of[member.name]] += log_p[:, -1].exp()
        log_weight = torch.stack([log_c[:, classes].logsumexp(dim=1) for classes in self.classes], dim=1)
        masses = masses_by_root if self.disjoint else masses_by_newton
        mass = masses(log_weight.exp().clamp(min=SMALLEST), reject.clamp(min=SMALLEST), self.outside, len(members))
        return log_c + (mass.log() - log_weight)[:, self.of_class]


def masses_by_root(weight: Tensor, reject: Tensor, outside: Tensor, num_members: int) -> Tensor:
    """Masses s float64[n, B] of (2) when the reject subsets are disjoint: one root for each sample, by bisection.

    Then o_E = 1 - s_B for the block B that S_E is, and stationarity reads, for all blocks with one multiplier x,

        c_B / s_B - r_B / (1 - s_B) = x,    that is    x s_B^2 - (x + c_B + r_B) s_B + c_B = 0.

    The root in 0..1 falls with x, and sum_B s_B passes 1 between x = -m / (B - 1) and x = m.
    ``weight`` is c float64[n, B], ``reject`` r float64[n, R], ``outside`` bool[R, B].
    """
    num_blocks = weight.shape[1]
    if num_blocks == 1:
        return torch.ones_like(weight)
    reject = reject @ (~outside).to(reject)
    low = weight.new_full((len(weight), 1), -num_members / (num_blocks - 1))
    high = torch.full_like(low, num_members)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        too_much = _mass_at(middle, weight, reject).sum(dim=1, keepdim=True) > 1
        low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
    mass = _mass_at(high, weight, reject)
    return mass / mass.sum(dim=1, keepdim=True)


def _mass_at(x: Tensor, weight: Tensor, reject: Tensor) -> Tensor:
    """The root in 0..1 of the quadratic, in whichever of its two forms subtracts nothing."""
    b = x + weight + reject
    root = ((x - weight + reject).square() + 4 * weight * reject).sqrt()
    return torch.where(b > 0, 2 * weight / (b + root), (root - b) / (-2 * x))


def masses_by_newton(weight: Tensor, reject: Tensor, outside: Tensor, num_members: int) -> Tensor:
    """Masses s float64[n, B] of (2) for any subsets, by a primal-dual Newton method. Arguments as in :func:`masses_by_root`.

    With M = ``outside`` and t_E = r_E / o_E, the optimality conditions of (2) are two sets of products,

        s_B z_B = c_B,    o_E t_E = r_E,    where    z = m - M' t,    o = M s,    all positive,

    and the number of members m = sum_B c_B + sum_E r_E is the multiplier of the constraint.

    Each step solves them linearised, for products at most ten times smaller than the present ones, and leaves a tenth of
    every value. z is carried along, as the difference that defines it would lose what is small.
    """
    outside = outside.to(weight)
    s = torch.full_like(weight, 1 / weight.shape[1])
    t = torch.full_like(reject, num_members / (reject.shape[1] + 1))
    z = num_members - t @ outside
    for _ in range(NEWTON_STEPS):
        o = s @ outside.T
        miss_s = torch.maximum(weight, 0.1 * s * z) - s * z
        miss_t = torch.maximum(reject, 0.1 * o * t) - o * t
        if (miss_s.abs() <= 1e-10 * weight + CLOSE).all() and (miss_t.abs() <= 1e-10 * reject + CLOSE).all():
            break
        system = torch.diag_embed(o / t) + outside @ ((s / z)[:, :, None] * outside.T)
        step_t = _solve(system, miss_t / t - (miss_s / z) @ outside.T)
        step_z = -step_t @ outside
        step_s = (miss_s - s * step_z) / z
        length = torch.cat([_room(s, step_s), _room(t, step_t), _room(z, step_z)], dim=1).amin(dim=1, keepdim=True)
        s, t, z = s + length * step_s, t + length * step_t, z + length * step_z
    return s / s.sum(dim=1, keepdim=True)


def _solve(system: Tensor, right: Tensor) -> Tensor:
    """Solve positive definite systems float64[n, R, R] scaled to a unit diagonal; two subsets that differ by a block of next to
    no mass make one singular to rounding, hence the ridge."""
    scale = system.diagonal(dim1=1, dim2=2).rsqrt()
    scaled = scale[:, :, None] * system * scale[:, None, :] + 1e-13 * torch.eye(right.shape[1], dtype=right.dtype)
    return scale * torch.linalg.solve(scaled, scale * right)


def _room(values: Tensor, step: Tensor) -> Tensor:
    """Share of ``step`` float64[n, d], at most 1, that leaves a tenth of every positive value: float64[n, 1]."""
    return (0.9 * values / (-step).clamp(min=1e-300)).amin(dim=1, keepdim=True).clamp(max=1)
