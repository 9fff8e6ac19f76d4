"""Joint calibration (Sec. 3.3.5): a learned scale and shift for each logit, before the posteriors are added.

    q(x) = sum_E g(softmax(w_E * z_E(x) + b_E)) / Z

w_E and b_E have an entry for each logit of E, the reject one too. They start at 1 and 0, the identity, and minimise the
cross entropy on the validation split plus ``l2`` times their squared distance from the identity.

Applied to one full member this is the control: q = softmax(w * z + b), a per-class scale and shift of a single classifier.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks, log_add_at, log_g, log_softmax
from ltbench_fusers.calibration import Fitted, L2Config, PairCurvature, fit_with_l2, mean_over_chunks

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
        self._found: Fitted = fit_with_l2(loss, loss.start, labels, self.config, loss.curvature)
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
    """One member's calibrated logits a = w * z + b for n samples, in the pieces that loss and gradient need.

    Attributes:
        z: float64[n, W], the logits.
        kept: exp(a - max a) over the logits that count, float64[n, V]: the reject one is left out where it is dropped.
        kept_sum: sum of ``kept``, float64[n].
        log_mass: log probability of the logits that count, float64[n]; 0 where all do.
        reject: probability of the dropped reject logit, float64[n]; 0 where there is none.
        target: the logit that the label falls on, int64[n].
        log_hit: log of what g(p_E) gives the label, float64[n]; -inf where that is nothing.
    """

    z: Tensor
    kept: Tensor
    kept_sum: Tensor
    log_mass: Tensor
    reject: Tensor
    target: Tensor
    log_hit: Tensor


class JointLoss:
    """The objective of joint calibration and its gradient, in log space.

    With h_E what g(p_E) gives the label and m_E the mass that E keeps (1 - r_E where reject is dropped, otherwise 1), the
    loss of a sample is log sum_E m_E - log sum_E h_E. With respect to the calibrated logits of E,

        d log sum_E h_E / da = v_E (e - p_E),                         v_E = h_E / sum_E h_E,
        d log sum_E m_E / da = p_E,k r_E / sum_E m_E                  for k in S_E, where reject is dropped,
                               -r_E m_E / sum_E m_E                   for the reject logit there,

    where e marks the logit that the label falls on: its own, or, where reject is shared, the reject logit.

    Parameters are w of all logits, member after member, then b of all.
    """

    def __init__(self, members: Sequence[MemberLogits], labels: Tensor, num_classes: int, reject: str) -> None:
        self.members = members
        self.widths = [member.logits.shape[1] for member in members]
        self.drops = [reject == "drop" and member.outside == "reject" for member in members]
        ones = torch.ones(sum(self.widths), dtype=torch.float64)
        self.start = torch.cat([ones, torch.zeros_like(ones)])
        self.targets, self.log_shares = [], []
        for member, drops in zip(members, self.drops, strict=True):
            covered = len(member.classes)
            shares = member.outside == "reject" and not drops
            target = torch.full((num_classes,), covered if shares else 0)
            log_share = torch.full((num_classes,), -math.log(num_classes - covered) if shares else -math.inf)
            target[member.classes], log_share[member.classes] = torch.arange(covered), 0.0
            self.targets.append(target[labels])
            self.log_shares.append(log_share[labels].double())

    def __call__(self, parameters: Tensor, rows: Tensor, l2: float) -> tuple[float, Tensor]:
        value, gradient = mean_over_chunks(lambda part: self._summed(parameters, part), rows, sum(self.widths))
        change = parameters - self.start
        return value + l2 * float(change.square().sum()), gradient + 2 * l2 * change

    def curvature(self, parameters: Tensor, rows: Tensor, l2: float) -> PairCurvature:
        """Of each pair (w, b): the mean of s (1 - s) (z, 1) (z, 1)^T, and the penalty's.

        s is the share of sum_E m_E that the sample gets through this logit, so that s (1 - s) is what softmax has on the
        diagonal of its curvature (Gauss-Newton), as if all members were one.
        """
        width = sum(self.widths)
        _, mean = mean_over_chunks(lambda part: (0.0, self._curvatures(parameters, part)), rows, width)
        ww, wb, bb = mean.view(3, width)
        return PairCurvature(ww + 2 * l2, wb, bb + 2 * l2, least=2 * l2)

    def _summed(self, parameters: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        members, log_hit, log_mass = self._calibrated(parameters, rows)
        gradients = [_gradient(member, log_hit, log_mass) for member in members]
        return float((log_mass - log_hit).sum()), torch.cat(
            [torch.cat(parts) for parts in zip(*gradients, strict=True)]
        )

    def _curvatures(self, parameters: Tensor, rows: Tensor) -> Tensor:
        """Sums over the samples of the entries ww, wb and bb, one after the other: float64[3 W]."""
        members, _, log_mass = self._calibrated(parameters, rows)
        curved = [(_shares(member, log_mass), member.z) for member in members]
        curved = [(share * (1 - share), z) for share, z in curved]
        return torch.cat(
            [torch.cat([(of_logit * z**power).sum(dim=0) for of_logit, z in curved]) for power in (2, 1, 0)]
        )

    def _calibrated(self, parameters: Tensor, rows: Tensor) -> tuple[list[_Calibrated], Tensor, Tensor]:
        """The members, log sum_E h_E and log sum_E m_E of these samples."""
        scales, shifts = (half.split(self.widths) for half in parameters.chunk(2))
        members = [self._calibrate(number, *pair, rows) for number, pair in enumerate(zip(scales, shifts, strict=True))]
        log_hit = torch.stack([member.log_hit for member in members]).logsumexp(dim=0)
        log_mass = torch.stack([member.log_mass for member in members]).logsumexp(dim=0)
        return members, log_hit, log_mass

    def _calibrate(self, number: int, scale: Tensor, shift: Tensor, rows: Tensor) -> _Calibrated:
        z = self.members[number].logits.index_select(0, rows).double()
        target, log_share = self.targets[number][rows], self.log_shares[number][rows]
        a = torch.addcmul(shift, scale, z)
        counted = a[:, :-1] if self.drops[number] else a
        top = counted.amax(dim=1, keepdim=True)
        kept = (counted - top).exp_()
        kept_sum = kept.sum(dim=1)
        log_kept = top[:, 0] + kept_sum.log()
        log_all, reject = log_kept, torch.zeros_like(log_kept)
        if self.drops[number]:
            log_all = torch.logaddexp(log_kept, a[:, -1])
            reject = (a[:, -1] - log_all).exp()
        log_hit = a.gather(1, target[:, None])[:, 0] - log_all + log_share
        return _Calibrated(z, kept, kept_sum, log_kept - log_all, reject, target, log_hit)


def _shares(member: _Calibrated, log_mass: Tensor) -> Tensor:
    """p_E,k / sum_E m_E of each logit, float64[n, W]; a dropped reject logit has r_E m_E in place of p_E,k."""
    mass = (member.log_mass - log_mass).exp()
    shares = torch.empty_like(member.z)
    shares[:, -1] = mass * member.reject
    torch.mul((mass / member.kept_sum)[:, None], member.kept, out=shares[:, : member.kept.shape[1]])
    return shares


def _gradient(member: _Calibrated, log_hit: Tensor, log_mass: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the summed loss with respect to this member's w and b, float64[W] each."""
    credit = (member.log_hit - log_hit).exp()
    mass = (member.log_mass - log_mass).exp()
    weight = (credit * member.log_mass.exp() + mass * member.reject) / member.kept_sum
    counted = member.kept.shape[1]
    by_shift = torch.zeros(member.z.shape[1], dtype=torch.float64)
    by_scale = torch.zeros_like(by_shift)
    by_shift[:counted] = weight @ member.kept
    by_scale[:counted] = weight @ (member.kept * member.z[:, :counted])
    if counted < member.z.shape[1]:
        at_reject = (credit - mass) * member.reject
        by_shift[-1] = at_reject.sum()
        by_scale[-1] = at_reject @ member.z[:, -1]
    by_shift.index_add_(0, member.target, -credit)
    by_scale.index_add_(0, member.target, -credit * member.z.gather(1, member.target[:, None])[:, 0])
    return by_scale, by_shift
