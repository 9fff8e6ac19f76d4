"""Joint calibration (Sec. 3.3.5): a learned scale and shift for each logit, before the posteriors are added.

    q(x) = sum_E g(softmax(w_E * z_E(x) + b_E)) / Z

w_E and b_E have an entry for each logit of E, the reject one too. They start at 1 and 0, the identity, and minimise the
cross entropy on the validation split plus ``l2`` times their squared distance from the identity.

Applied to one full member this is the control: q = softmax(w * z + b), a per-class scale and shift of a single classifier.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks, log_add_at, log_g, log_softmax
from ltbench_fusers.calibration import Fitted, L2Config, PairCurvature, fit_with_l2, mean_over_chunks
from ltbench_fusers.joint_units import Stretched, stretched

ENOUGH = 500
"""Samples from which the curvature along many parameters at once is estimated, at least, where there are as many."""

LARGEST = 1e3
"""Logits up to this have four digits after the point in float32, which is enough to compare strengths."""

LISTED = 2048
"""Most logits whose scales and shifts :meth:`JointCalibration.state` lists one by one."""


class JointCalibration(Fuser):
    """Sum of the members' posteriors after a learned scale and shift of every logit."""

    class Config(L2Config):
        reject: Literal["drop", "share"] = Field(
            "drop",
            description="what becomes of a calibrated reject probability: dropped, and q normalised by what the experts "
            "keep (the authors' code); or shared equally among the outside classes (the paper's g)",
        )

    def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
        loss = JointLoss(members, labels, self.num_classes, self.config.reject)
        fine = max(float(member.logits.abs().max()) for member in members) <= LARGEST
        precision = torch.float32 if fine else torch.float64
        rough = JointLoss(members, labels, self.num_classes, self.config.reject, precision)
        self._found: Fitted = fit_with_l2(loss, loss.start, labels, self.config, rough.units, rough)
        scales, shifts = self._found.parameters.chunk(2)
        widths = [member.logits.shape[1] for member in members]
        self._learned = {
            member.name: (scale, shift)
            for member, scale, shift in zip(members, scales.split(widths), shifts.split(widths), strict=True)
        }

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(members, self.num_classes, self._fuse)

    def _fuse(self, members: list[MemberLogits]) -> Tensor:
        log_q = torch.full((len(members[0]), self.num_classes), -torch.inf, dtype=torch.float64)
        for member in members:
            scale, shift = self._learned[member.name]
            log_p = log_softmax(scale * member.logits + shift)
            if self.config.reject == "share":
                log_q = torch.logaddexp(log_q, log_g(log_p, member, self.num_classes))
            else:
                log_add_at(log_q, member.classes, log_p[:, : len(member.classes)])
        return log_q

    def state(self) -> dict[str, Any]:
        """``l2``, and w and b of each member: all of them, or mean, smallest and largest where there are thousands."""
        listed = sum(len(scale) for scale, _ in self._learned.values()) <= LISTED
        show = Tensor.tolist if listed else _summary
        learned = {name: {"w": show(scale), "b": show(shift)} for name, (scale, shift) in self._learned.items()}
        return {**self._found.summary(), "members": learned}


def _summary(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


@dataclass
class _Calibrated:
    """The calibrated logits a = w * z + b of n samples and E members, in the pieces that loss and gradient need.

    Attributes:
        z: for each member its logits that count, [n, V]: the reject one is left out where it is dropped.
        kept: for each member softmax of a over the logits that count, [n, V].
        log_mass: log probability of the logits that count, float64[E, n]; 0 where all do.
        reject: probability of the dropped reject logit, float64[E, n]; 0 where there is none.
        log_hit: log of what g(p_E) gives the label, float64[E, n]; -inf where that is nothing.
        log_sum_mass, log_sum_hit: log of the sums over the members, float64[n].
    """

    z: list[Tensor]
    kept: list[Tensor]
    log_mass: Tensor
    reject: Tensor
    log_hit: Tensor

    @cached_property
    def log_sum_mass(self) -> Tensor:
        return self.log_mass.logsumexp(dim=0)

    @cached_property
    def log_sum_hit(self) -> Tensor:
        return self.log_hit.logsumexp(dim=0)

    @property
    def mass(self) -> Tensor:
        """m_E / sum_E m_E, float64[E, n]."""
        return (self.log_mass - self.log_sum_mass).exp()


class JointLoss:
    """The objective of joint calibration and its gradient, in log space.

    With h_E what g(p_E) gives the label and m_E the mass that E keeps (1 - r_E where reject is dropped, otherwise 1), the
    loss of a sample is log sum_E m_E - log sum_E h_E. With respect to the calibrated logits of E,

        d log sum_E h_E / da = v_E (e - p_E),                         v_E = h_E / sum_E h_E,
        d log sum_E m_E / da = p_E,k r_E / sum_E m_E                  for k in S_E, where reject is dropped,
                               -r_E m_E / sum_E m_E                   for the reject logit there,

    where e marks the logit that the label falls on: its own, or, where reject is shared, the reject logit.

    Parameters are w of all logits, member after member, then b of all.

    Args:
        dtype: of what is computed for each logit of each sample; sums and what is answered are float64. float32 takes half
            the time or less and errs by the seventh digit.
    """

    def __init__(
        self,
        members: Sequence[MemberLogits],
        labels: Tensor,
        num_classes: int,
        reject: str,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.logits = [member.logits for member in members]
        self.dtype = dtype
        self.widths = [logits.shape[1] for logits in self.logits]
        self.size = sum(self.widths)
        ones = torch.ones(self.size, dtype=torch.float64)
        self.start = torch.cat([ones, torch.zeros_like(ones)])
        drops = [reject == "drop" and member.outside == "reject" for member in members]
        targets, log_shares = [], []
        for member, dropped in zip(members, drops, strict=True):
            covered = len(member.classes)
            shares = member.outside == "reject" and not dropped
            target = torch.full((num_classes,), covered if shares else 0)
            log_share = torch.full((num_classes,), -math.log(num_classes - covered) if shares else -math.inf)
            target[member.classes], log_share[member.classes] = torch.arange(covered), 0.0
            targets.append(target[labels])
            log_shares.append(log_share[labels].double())
        # Of each member and sample [E, N], and what is dropped of each member [E]: positions among all logits, and the logits.
        self.log_shares = torch.stack(log_shares)
        ends = torch.tensor(self.widths).cumsum(0)
        self.target = torch.stack(targets) + (ends - torch.tensor(self.widths))[:, None]
        self.z_target = _taken(self.logits, targets)
        self.drops, self.last = torch.tensor(drops), ends - 1
        self.z_last = torch.stack([logits[:, -1].double() for logits in self.logits])
        self.counted = [width - dropped for width, dropped in zip(self.widths, drops, strict=True)]

    def __call__(self, parameters: Tensor, rows: Tensor, l2: float) -> tuple[float, Tensor]:
        value, gradient = self._mean(self._summed, parameters, rows)
        change = parameters - self.start
        return value + l2 * float(change.square().sum()), gradient + 2 * l2 * change

    def curvature(self, parameters: Tensor, rows: Tensor, l2: float) -> PairCurvature:
        """Of each pair (w, b): the mean of s (1 - s) (z, 1) (z, 1)^T, and the penalty's.

        s is the share of sum_E m_E that the sample gets through this logit, so that s (1 - s) is what softmax has on the
        diagonal of its curvature (Gauss-Newton), as if all members were one.
        """
        _, mean = self._mean(self._curvatures, parameters, rows)
        ww, wb, bb = mean.view(3, self.size)
        return PairCurvature(ww + 2 * l2, wb, bb + 2 * l2, least=2 * l2)

    def units(self, parameters: Tensor, rows: Tensor, l2: float) -> Stretched:
        """For L-BFGS: of the pairs' curvature, and of that along all scales or shifts of a member, or its reject logit's."""
        some = rows[:: max(1, len(rows) // ENOUGH)]
        pairs = self.curvature(parameters, rows, l2)
        return stretched(pairs, self._together(), lambda point: self(point, some, l2)[1], parameters)

    def _together(self) -> Tensor:
        """Changes of the parameters, float64[2 W, D]: all of a member's logits that count; those that are dropped."""
        pieces = [(counted, width - counted) for counted, width in zip(self.counted, self.widths, strict=True)]
        blocks = [torch.ones(size, 1, dtype=torch.float64) for piece in pieces for size in piece if size]
        return torch.block_diag(*blocks, *blocks)

    def _mean(
        self, summed: Callable[[Tensor, Tensor], tuple[float, Tensor]], parameters: Tensor, rows: Tensor
    ) -> tuple[float, Tensor]:
        width = self.size * self.dtype.itemsize / torch.float64.itemsize
        return mean_over_chunks(lambda part: summed(parameters, part), rows, width)

    def _summed(self, parameters: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        """The loss of these samples and its gradient float64[2 W]."""
        at = self._calibrated(parameters, rows)
        credit = (at.log_hit - at.log_sum_hit).exp()
        weights = (credit * at.log_mass.exp() + at.mass * at.reject).to(self.dtype)
        by_shift, by_scale = self._over_samples(
            [(kept.T @ weight, kept.mul_(z).T @ weight) for z, kept, weight in zip(at.z, at.kept, weights, strict=True)]
        )
        by_target, target = -credit.flatten(), self.target[:, rows].flatten()
        by_shift.index_add_(0, target, by_target)
        by_scale.index_add_(0, target, by_target * self.z_target[:, rows].flatten())
        by_reject = (credit - at.mass) * at.reject
        by_shift.index_add_(0, self.last, by_reject.sum(dim=1))
        by_scale.index_add_(0, self.last, (by_reject * self.z_last[:, rows]).sum(dim=1))
        return float((at.log_sum_mass - at.log_sum_hit).sum()), torch.cat([by_scale, by_shift])

    def _curvatures(self, parameters: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        """Sums over the samples of the entries ww, wb and bb, one after the other: float64[3 W]; no loss."""
        at = self._calibrated(parameters, rows)
        ones = torch.ones(len(rows), dtype=self.dtype)
        sums = []
        for z, kept, mass in zip(at.z, at.kept, at.mass.to(self.dtype), strict=True):
            share = kept * mass[:, None]
            curved = share.addcmul_(share, share, value=-1)
            bb, wb = curved.T @ ones, curved.mul_(z).T @ ones
            sums.append((curved.mul_(z).T @ ones, wb, bb))
        of_last = at.mass * at.reject
        of_last, z = of_last * (1 - of_last), self.z_last[:, rows]
        entries = self._over_samples(sums)
        for power, entry in zip((2, 1, 0), entries, strict=True):
            entry.index_add_(0, self.last, (of_last * z**power).sum(dim=1))
        return 0.0, torch.cat(entries)

    def _over_samples(self, of_members: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        """Sums over samples, for each member several of [V], as float64[W] each: those of a dropped logit are 0."""
        found = torch.zeros(len(of_members[0]), self.size, dtype=torch.float64)
        for part, values, counted in zip(found.split(self.widths, dim=1), of_members, self.counted, strict=True):
            part[:, :counted] = torch.stack(values)
        return list(found)

    def _calibrated(self, parameters: Tensor, rows: Tensor) -> _Calibrated:
        scale, shift = parameters.chunk(2)
        scales, shifts = (half.to(self.dtype).split(self.widths) for half in (scale, shift))
        z, kept, log_sums = [], [], []
        for number in range(len(self.logits)):
            counted, own, log_sum = self._softmax(number, scales[number], shifts[number], rows)
            z.append(counted)
            kept.append(own)
            log_sums.append(log_sum)
        log_kept = torch.stack(log_sums)
        of_last = scale[self.last, None] * self.z_last[:, rows] + shift[self.last, None]
        of_last = of_last.where(self.drops[:, None], -math.inf)
        log_all = torch.logaddexp(log_kept, of_last)
        target = self.target[:, rows]
        log_hit = scale[target] * self.z_target[:, rows] + shift[target] - log_all + self.log_shares[:, rows]
        return _Calibrated(z, kept, log_kept - log_all, (of_last - log_all).exp(), log_hit)

    def _softmax(self, number: int, scale: Tensor, shift: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One member's logits that count and their softmax, [n, V] each, and the log of what it is normalised by, float64[n]."""
        counted = self.counted[number]
        z = self.logits[number].index_select(0, rows).to(self.dtype)[:, :counted]
        a = torch.addcmul(shift[:counted], scale[:counted], z)
        kept = torch.softmax(a, dim=1)
        return z, kept, a.amax(dim=1).double() - kept.amax(dim=1).double().log()


def _taken(logits: Sequence[Tensor], positions: Sequence[Tensor]) -> Tensor:
    """Of each member and sample one logit, float64[E, N]; positions int64[N] for each member."""
    pairs = zip(logits, positions, strict=True)
    return torch.stack([values.gather(1, position[:, None])[:, 0].double() for values, position in pairs])
