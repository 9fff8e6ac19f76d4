"""Joint calibration as it was fitted until November 2026: the reference of ``joint_scale.py --before``.

Everything in float64, 4 MiB an array; each fold from its own last solution, in units of the pairs' curvature alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from ltbench_fusers.calibration import Fitted, L2Config, Objective, PairCurvature, mean_over_chunks, stratified_folds
from torch import Tensor

from ltbench.common.threads import one_torch_thread
from ltbench.fuser import MemberLogits

CV_TOLERANCE, FINAL_TOLERANCE, UNITS = 1e-4, 1e-6, 10.0
FIRST_ITERATIONS, CV_ITERATIONS = 15, 30

Curvature = Callable[[Tensor, Tensor, float], PairCurvature]


def fit_with_l2(
    objective: Objective, start: Tensor, labels: Tensor, config: L2Config, curvature: Curvature | None = None
) -> Fitted:
    """Minimise the objective over all samples, from ``start`` float64[P]; ``labels`` int64[N] spread the classes over the folds.

    With ``curvature`` L-BFGS works in its units, see :class:`PairCurvature`.

    With ``l2 = auto`` the grid is walked from the strongest strength to weaker ones for as long as the held-out cross
    entropy falls; each fold goes on from its own last solution. A tie keeps the stronger. A split of one sample, which
    cannot be held out, takes the strongest.
    """
    everything = torch.arange(len(labels))

    def fit(l2: float) -> Tensor:
        return minimise(objective, everything, start, l2, FINAL_TOLERANCE, config.max_iterations, curvature)

    if config.l2 != "auto":
        return Fitted(fit(config.l2), config.l2, {})
    folds = stratified_folds(labels, config.folds)
    solutions = [start] * len(folds)
    held_out: dict[float, float] = {}
    strengths = sorted(set(config.l2_grid), reverse=True)
    best = strengths[0]
    for l2 in strengths if len(folds) > 1 else ():
        total = 0.0
        for number, fold in enumerate(folds):
            kept = everything[~torch.isin(everything, fold)]
            solutions[number] = minimise(objective, kept, solutions[number], l2, CV_TOLERANCE, CV_ITERATIONS, curvature)
            total += objective(solutions[number], fold, 0.0)[0] * len(fold)
        held_out[l2] = total / len(labels)
        if held_out[l2] >= held_out[best] and l2 != best:
            break
        best = l2
    return Fitted(fit(best), best, held_out)


def minimise(
    objective: Objective,
    rows: Tensor,
    start: Tensor,
    l2: float,
    tolerance: float,
    max_iterations: int,
    curvature: Curvature | None = None,
) -> Tensor:
    """Parameters float64[P] at which L-BFGS from ``start`` ends, for the samples ``rows`` int64[M].

    With ``curvature`` it takes its steps, and measures its gradient, in units of that: first of the one at the start, then
    once more of the one where it has come to.
    """
    with one_torch_thread():
        if curvature is None:
            return _lbfgs(lambda point: objective(point, rows, l2), start, tolerance, max_iterations)
        first = min(FIRST_ITERATIONS, max_iterations)
        for iterations in filter(None, (first, max_iterations - first)):
            start = _in_units(curvature(start, rows, l2), objective, rows, start, l2, UNITS * tolerance, iterations)
        return start


def _in_units(
    units: PairCurvature,
    objective: Objective,
    rows: Tensor,
    start: Tensor,
    l2: float,
    tolerance: float,
    iterations: int,
) -> Tensor:
    def along(steps: Tensor) -> tuple[float, Tensor]:
        value, gradient = objective(start + units.parameters(steps), rows, l2)
        return value, units.gradient(gradient)

    return start + units.parameters(_lbfgs(along, torch.zeros_like(start), tolerance, iterations))


def _lbfgs(
    function: Callable[[Tensor], tuple[float, Tensor]], start: Tensor, tolerance: float, max_iterations: int
) -> Tensor:
    """torch's L-BFGS and not scipy's: that one works on numpy's BLAS threads, which take three times as long for vectors of
    this size and more where cores are shared.
    """
    point = start.clone()
    optimiser = torch.optim.LBFGS(
        [point],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        tolerance_grad=tolerance,
        tolerance_change=1e-4 * tolerance,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> float:
        value, point.grad = function(point)
        return value

    optimiser.step(evaluate)
    return point


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
