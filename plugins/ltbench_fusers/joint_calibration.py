"""Joint calibration (Sec. 3.3.5): a learned scale and shift for each logit, before the posteriors are added.

    q(x) = sum_E g(softmax(w_E * z_E(x) + b_E)) / Z

w_E and b_E have an entry for each logit of E, the reject one too. They start at 1 and 0, the identity, and minimise the
cross entropy on the validation split plus ``l2`` times their squared distance from the identity.

Applied to one full member this is the control: q = softmax(w * z + b), a per-class scale and shift of a single classifier.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ltbench.calibration import Fitted, L2Config, fit_with_l2, mean_over_chunks
from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks, log_add_at, log_g, log_softmax

LISTED = 4096
"""Most scales that :meth:`JointCalibration.state` lists one by one."""


class JointCalibration(Fuser):
    """Sum of the members' posteriors after a learned scale and shift of every logit."""

    class Config(L2Config):
        reject: Literal["drop", "share"] = Field(
            "drop",
            description="what becomes of a calibrated reject probability: dropped, and q normalised by what the experts "
            "keep (the authors' code); or shared equally among the outside classes (the paper's g)",
        )

    def _fit(self, members: list[MemberLogits], labels: Tensor) -> None:
        self._names = [member.name for member in members]
        self._widths = [member.logits.shape[1] for member in members]
        loss = JointLoss(members, labels, self.num_classes, self.config.reject)
        identity = torch.cat([torch.ones(sum(self._widths)), torch.zeros(sum(self._widths))]).double()
        self._fitted_joint: Fitted = fit_with_l2(loss, identity, labels, self.config)

    def _log_posterior(self, members: list[MemberLogits]) -> Tensor:
        scales, shifts = split_parameters(self._fitted_joint.parameters, self._widths)

        def fuse(chunk: list[MemberLogits]) -> Tensor:
            log_q = torch.full((len(chunk[0]), self.num_classes), -torch.inf, dtype=torch.float64)
            for member, scale, shift in zip(chunk, scales, shifts, strict=True):
                log_p = log_softmax(scale * member.logits + shift)
                if self.config.reject == "share":
                    log_q = torch.logaddexp(log_q, log_g(log_p, member, self.num_classes))
                else:
                    log_add_at(log_q, member.classes, log_p[:, : len(member.classes)])
            return log_q

        return fuse_in_chunks(members, self.num_classes, fuse)

    def state(self) -> dict[str, Any]:
        """``l2``, and w and b of each member: all of them, or mean, smallest and largest where there are thousands."""
        scales, shifts = split_parameters(self._fitted_joint.parameters, self._widths)
        listed = sum(self._widths) <= LISTED
        learned = {
            name: {"w": scale.tolist() if listed else _summary(scale), "b": shift.tolist() if listed else _summary(shift)}
            for name, scale, shift in zip(self._names, scales, shifts, strict=True)
        }
        return {**self._fitted_joint.summary(), "members": learned}


def _summary(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


def split_parameters(parameters: Tensor, widths: Sequence[int]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """(w_E of each member, b_E of each member) in one vector: all scales first, then all shifts."""
    scales, shifts = parameters.chunk(2)
    return scales.split(list(widths)), shifts.split(list(widths))


class JointLoss:
    """Cross entropy of q and its gradient with respect to all w and b, in log space.

    With h_E(y) the part of g(p_E) that falls on the label and Z_E the mass that E keeps (1 with ``share``; with ``drop``
    1 - r_E), the loss of a sample is log sum_E Z_E - log sum_E h_E(y). With respect to the calibrated logits of E,

        d log sum_E h_E(y) = v_E (e_t - p_E),              v_E = h_E(y) / sum_E h_E(y),
        d log sum_E Z_E    = p_E,k r_E / sum_E Z_E         for k in S_E,
                             -r_E (1 - r_E) / sum_E Z_E    for the reject logit,

    where e_t marks the logit that the label falls on: its own, or with ``share`` the reject logit of an expert without it.
    """

    def __init__(self, members: Sequence[MemberLogits], labels: Tensor, num_classes: int, reject: str) -> None:
        self.members = members
        self.widths = [member.logits.shape[1] for member in members]
        self.drops = [reject == "drop" and member.outside == "reject" for member in members]
        self.targets: list[Tensor] = []
        self.log_shares: list[Tensor] = []
        for member, drops in zip(members, self.drops, strict=True):
            covered = len(member.classes)
            shares = member.outside == "reject" and not drops
            target = torch.full((num_classes,), covered if shares else 0)
            log_share = torch.full((num_classes,), -math.log(num_classes - covered) if shares else -math.inf)
            target[member.classes], log_share[member.classes] = torch.arange(covered), 0.0
            self.targets.append(target[labels][:, None])
            self.log_shares.append(log_share[labels].double())

    def __call__(self, parameters: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        return mean_over_chunks(lambda part: self._summed(parameters, part), rows, sum(self.widths))

    def _summed(self, parameters: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        scales, shifts = split_parameters(parameters, self.widths)
        logits = [member.logits[rows].double() for member in self.members]
        log_p = [log_softmax(w * z + b) for w, z, b in zip(scales, logits, shifts, strict=True)]
        targets = [target[rows] for target in self.targets]
        log_hits = torch.stack(
            [p.gather(1, t)[:, 0] + share[rows] for p, t, share in zip(log_p, targets, self.log_shares, strict=True)]
        )
        log_masses = torch.stack(
            [p[:, :-1].logsumexp(dim=1) if drops else torch.zeros(len(rows)).double() for p, drops in zip(log_p, self.drops, strict=True)]
        )
        log_hit, log_mass = log_hits.logsumexp(dim=0), log_masses.logsumexp(dim=0)
        credits = (log_hits - log_hit).exp()
        gradients_w, gradients_b = [], []
        for number, (p, z) in enumerate(zip(log_p, logits, strict=True)):
            credit = credits[number][:, None]
            gradient = p.exp()
            if self.drops[number]:
                refused = gradient[:, -1:].clone()
                gradient *= credit
                gradient[:, :-1] += (p[:, :-1] - log_mass[:, None]).exp() * refused
                gradient[:, -1:] -= refused * (log_masses[number] - log_mass).exp()[:, None]
            else:
                gradient *= credit
            gradient.scatter_add_(1, targets[number], -credit)
            gradients_w.append((gradient * z).sum(dim=0))
            gradients_b.append(gradient.sum(dim=0))
        return float((log_mass - log_hit).sum()), torch.cat([*gradients_w, *gradients_b])
