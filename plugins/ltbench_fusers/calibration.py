"""Fitting a fuser's parameters on the validation split: L-BFGS in float64, full batch, L2 strength by cross-validation.

The fuser gives its objective and the gradient (:data:`Objective`), computed a chunk of samples at a time
(:func:`mean_over_chunks`), so that its memory does not grow with the split.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from ltbench.common.threads import map_parts, one_torch_thread
from ltbench.fuser import FuserConfig, MemberLogits
from ltbench.posterior import chunks, log_softmax

Objective = Callable[[Tensor, Tensor, float], tuple[float, Tensor]]
"""``objective(parameters float64[P], rows int64[M], l2)``: mean cross entropy over those samples plus ``l2`` times the squared
distance of the model's weights from where they are held, and the gradient float64[P]. With ``l2 = 0``: the cross entropy."""

UnitsAt = Callable[[Tensor, Tensor, float], "Units"]
"""``units(parameters float64[P], rows int64[M], l2)``: in which the curvature of an objective is about the identity there."""

Strength = Annotated[float, Field(gt=0)]

CV_TOLERANCE, ROUGH_TOLERANCE, FINAL_TOLERANCE = 1e-4, 5e-4, 1e-6
"""Largest entry of the gradient at which L-BFGS stops: while strengths are compared, with a rough objective, and for the fit
that is kept. In units, half its square is about how far the loss is from its least."""

FIRST_ITERATIONS = 15
"""L-BFGS iterations in units of the start; the others are in units of where these end."""

LONGEST = 100.0
"""Gradient in units, half the square of which no loss will fall by: the units are poor there."""

CV_ITERATIONS = 30
"""L-BFGS iterations of a fit while strengths are compared, at most; each goes on from the solution for the last strength."""


class L2Config(FuserConfig):
    """How strongly a learned fuser is held to where it starts."""

    l2: Strength | Literal["auto"] = Field(
        "auto", description="L2 strength; auto: the best of l2_grid by cross-validation inside the validation split"
    )
    l2_grid: tuple[Strength, ...] = Field(
        (1e-2, 1e-3, 3e-4, 1e-4, 3e-5), min_length=1, description="l2 = auto: strengths to choose from"
    )
    folds: int = Field(5, ge=2, description="l2 = auto: folds of the cross-validation, spread over the classes")
    max_iterations: int = Field(500, ge=1, description="L-BFGS iterations of the fit that is kept, at most")


@dataclass(frozen=True)
class Fitted:
    """What :func:`fit_with_l2` found.

    Attributes:
        parameters: float64[P].
        l2: the strength used.
        held_out: mean cross entropy on held-out folds for each strength tried; empty when the strength was given.
    """

    parameters: Tensor
    l2: float
    held_out: dict[float, float]

    def summary(self) -> dict[str, Any]:
        """``l2`` and ``l2_held_out`` for the record."""
        return {"l2": self.l2, "l2_held_out": {f"{l2:g}": loss for l2, loss in self.held_out.items()}}


def fit_with_l2(
    objective: Objective,
    start: Tensor,
    labels: Tensor,
    config: L2Config,
    units: UnitsAt | None = None,
    rough: Objective | None = None,
) -> Fitted:
    """Minimise the objective over all samples, from ``start`` float64[P]; ``labels`` int64[N] spread the classes over the folds.

    With ``l2 = auto`` the grid is walked from the strongest strength to weaker ones for as long as the held-out cross
    entropy falls; each fold goes on from its own last solution. A tie keeps the stronger. A split of one sample, which
    cannot be held out, takes the strongest.

    Args:
        units: L-BFGS takes its steps in these, see :class:`Units`.
        rough: the same objective, faster and less precise; strengths are compared with its minima, and the fit that is kept
            begins at its minimum. It needs ``units``.
    """
    everything = torch.arange(len(labels))

    def fit(l2: float) -> Tensor:
        begin = start
        if rough is not None:
            most = min(CV_ITERATIONS, config.max_iterations)
            begin = minimise(rough, everything, start, l2, ROUGH_TOLERANCE, most, units)
        return minimise(objective, everything, begin, l2, FINAL_TOLERANCE, config.max_iterations, units)

    if config.l2 != "auto":
        return Fitted(fit(config.l2), config.l2, {})
    folds = stratified_folds(labels, config.folds)
    kept = [everything[~torch.isin(everything, fold)] for fold in folds]
    solutions = [start] * len(folds)
    held_out: dict[float, float] = {}
    strengths = sorted(set(config.l2_grid), reverse=True)
    best = strengths[0]
    for l2 in strengths if len(folds) > 1 else ():
        if units is not None and rough is not None:
            solutions = _together(rough, everything, kept, solutions, l2, units)
        else:
            solutions = [
                minimise(objective, rows, begin, l2, CV_TOLERANCE, CV_ITERATIONS, units)
                for rows, begin in zip(kept, solutions, strict=True)
            ]
        losses = [objective(found, fold, 0.0)[0] * len(fold) for found, fold in zip(solutions, folds, strict=True)]
        held_out[l2] = sum(losses) / len(labels)
        if held_out[l2] >= held_out[best] and l2 != best:
            break
        best = l2
    return Fitted(fit(best), best, held_out)


def _together(
    objective: Objective, everything: Tensor, kept: list[Tensor], solutions: list[Tensor], l2: float, units: UnitsAt
) -> list[Tensor]:
    """The folds' minima for the next strength, from those for the last: in units that are measured once for all folds, each
    begun where the mean move of the folds before it would lead.
    """
    with one_torch_thread():
        common = units(torch.stack(solutions).mean(dim=0), everything, l2)
        found: list[Tensor] = []
        moved = torch.zeros_like(solutions[0])
        for rows, last in zip(kept, solutions, strict=True):
            begin = last + moved / max(1, len(found))
            end, _ = _in_units(common, objective, rows, begin, l2, ROUGH_TOLERANCE, CV_ITERATIONS)
            moved += end - last
            found.append(end)
        return found


def stratified_folds(labels: Tensor, folds: int) -> list[Tensor]:
    """Disjoint parts int64 of 0..N-1, at most ``folds``, none empty; sizes and class shares differ by one at most."""
    by_class = torch.argsort(labels, stable=True)
    return [by_class[first::folds].sort().values for first in range(min(folds, len(labels)))]


class Units(Protocol):
    """A linear change of the parameters: L-BFGS takes steps in the new ones, in which it sees about the identity as curvature."""

    def parameters(self, steps: Tensor) -> Tensor:
        """The change of the parameters float64[P] that steps float64[P] make."""

    def gradient(self, gradient: Tensor) -> Tensor:
        """With respect to the steps, float64[P], from the one with respect to the parameters."""


@dataclass(frozen=True)
class PairCurvature:
    """Curvature of an objective along each pair of its parameters (x_k, y_k): symmetric positive 2 x 2 blocks.

    Parameters float64[2K] hold all x, then all y. Steps taken in units in which every block is the identity see neither the
    scales of the pairs nor how x and y of a pair depend on each other: with L^T L the block of a pair, d = L (x, y).

    Attributes:
        xx, xy, yy: float64[K].
        least: > 0, a bound below all eigenvalues of the blocks.
    """

    xx: Tensor
    xy: Tensor
    yy: Tensor
    least: float

    def parameters(self, steps: Tensor) -> Tensor:
        """The change of the parameters float64[2K] that steps d float64[2K] make."""
        along_x, along_y = steps.chunk(2)
        y = along_y / self._rest
        return torch.cat([(along_x - self._mixed * y) / self._first, y])

    def steps(self, change: Tensor) -> Tensor:
        """The steps float64[2K] that make this change of the parameters."""
        x, y = change.chunk(2)
        return torch.cat([self._first * x + self._mixed * y, self._rest * y])

    def gradient(self, gradient: Tensor) -> Tensor:
        """With respect to the steps, float64[2K], from the one with respect to the parameters."""
        by_x, by_y = gradient.chunk(2)
        along_x = by_x / self._first
        return torch.cat([along_x, (by_y - self._mixed * along_x) / self._rest])

    @cached_property
    def _first(self) -> Tensor:
        return self.xx.clamp(min=self.least).sqrt()

    @cached_property
    def _mixed(self) -> Tensor:
        return self.xy / self._first

    @cached_property
    def _rest(self) -> Tensor:
        return (self.yy - self._mixed.square()).clamp(min=self.least).sqrt()


def minimise(
    objective: Objective,
    rows: Tensor,
    start: Tensor,
    l2: float,
    tolerance: float,
    max_iterations: int,
    units: UnitsAt | None = None,
) -> Tensor:
    """Parameters float64[P] at which L-BFGS from ``start`` ends, for the samples ``rows`` int64[M].

    With ``units`` it takes its steps, and measures its gradient, in those at the start, and if that takes long once more in
    those where it has come to.
    """
    with one_torch_thread():
        if units is None:
            return _lbfgs(lambda point: objective(point, rows, l2), start, tolerance, max_iterations, 1e-4 * tolerance)[
                0
            ]
        first = min(FIRST_ITERATIONS, max_iterations)
        for most in filter(None, (first, max_iterations - first)):
            here = units(start, rows, l2)
            start, taken = _in_units(here, objective, rows, start, l2, tolerance, most)
            if taken < most:
                break
        return start


def _in_units(
    units: Units,
    objective: Objective,
    rows: Tensor,
    start: Tensor,
    l2: float,
    tolerance: float,
    iterations: int,
) -> tuple[Tensor, int]:
    """Where L-BFGS ends, and the iterations that it took.

    torch's L-BFGS makes its first step as long as the gradient times the inverse of the sum of its absolute entries, if that
    is above 1. In these units the gradient alone is a good step unless it is absurdly long, and in units that are ``size``
    times as large it is made.
    """
    value, gradient = objective(start, rows, l2)
    at_start = value, units.gradient(gradient)
    size = max(1.0, float(at_start[1].abs().sum())) if float(at_start[1].norm()) <= LONGEST else 1.0

    def along(steps: Tensor) -> tuple[float, Tensor]:
        if not steps.any():
            return at_start[0], size * at_start[1]
        value, gradient = objective(start + units.parameters(size * steps), rows, l2)
        return value, size * units.gradient(gradient)

    least = min(
        1e-4 * tolerance, tolerance**2
    )  # half the square of a gradient in units is what the loss can still fall by
    steps, taken = _lbfgs(along, torch.zeros_like(start), size * tolerance, iterations, least)
    return start + units.parameters(size * steps), taken


def _lbfgs(
    function: Callable[[Tensor], tuple[float, Tensor]],
    start: Tensor,
    tolerance: float,
    max_iterations: int,
    least_change: float,
) -> tuple[Tensor, int]:
    """The point where it ends, and its iterations: when no entry of the gradient is above ``tolerance``, or when loss or point
    change by less than ``least_change``.

    torch's L-BFGS and not scipy's: that one works on numpy's BLAS threads, which take three times as long for vectors of
    this size and more where cores are shared.
    """
    point = start.clone()
    optimiser = torch.optim.LBFGS(
        [point],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        tolerance_grad=tolerance,
        tolerance_change=least_change,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> float:
        value, point.grad = function(point)
        return value

    optimiser.step(evaluate)
    return point, optimiser.state[point]["n_iter"]


def mean_over_chunks(
    function: Callable[[Tensor], tuple[float, Tensor]], rows: Tensor, width: float
) -> tuple[float, Tensor]:
    """Mean loss and gradient over the samples ``rows`` int64[M]; ``function`` gives both summed over the few it is shown.

    ``width`` is how many numbers of float64 ``function`` holds for a sample.
    """
    sums = map_parts(function, [rows[part] for part in chunks(len(rows), width)])
    gradient = torch.stack([part[1] for part in sums]).sum(dim=0)
    return sum(part[0] for part in sums) / len(rows), gradient / len(rows)


class PosteriorClassifier:
    """Linear softmax classifier with ``outputs`` classes on the members' concatenated posteriors p_E (Sec. 3.3.3, 3.3.4).

    Its parameters float64[outputs * (F + 1)] are a matrix by rows: F weights, for the F entries of the p_E, the reject ones
    too, and a bias. They start at zero, which is the uniform answer, and are held there.
    """

    def __init__(self, members: Sequence[MemberLogits], outputs: int) -> None:
        self.outputs = outputs
        self.inputs = sum(member.logits.shape[1] for member in members) + 1
        self.start = torch.zeros(outputs * self.inputs, dtype=torch.float64)

    def log_probabilities(self, parameters: Tensor, members: Sequence[MemberLogits]) -> Tensor:
        """float64[n, outputs] for the samples of ``members``."""
        return self._forward(parameters, [member.logits for member in members])[1]

    def objective(self, members: Sequence[MemberLogits], targets: Tensor) -> Objective:
        """Cross entropy on these samples, ``targets`` int64[N] among the outputs, and L2 on weights and biases."""

        def summed(parameters: Tensor, rows: Tensor) -> tuple[float, Tensor]:
            inputs, log_p = self._forward(parameters, [member.logits.index_select(0, rows) for member in members])
            chosen = targets[rows][:, None]
            value = -float(log_p.gather(1, chosen).sum())
            error = log_p.exp().scatter_add_(1, chosen, log_p.new_full(chosen.shape, -1.0))
            return value, (error.T @ inputs).flatten()

        def objective(parameters: Tensor, rows: Tensor, l2: float) -> tuple[float, Tensor]:
            width = self.inputs + self.outputs
            value, gradient = mean_over_chunks(lambda part: summed(parameters, part), rows, width)
            return value + l2 * float(parameters @ parameters), gradient + 2 * l2 * parameters

        return objective

    def _forward(self, parameters: Tensor, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(inputs float64[n, F + 1], log probabilities float64[n, outputs])."""
        ones = torch.ones(len(logits[0]), 1, dtype=torch.float64)
        inputs = torch.cat([*(log_softmax(own).exp() for own in logits), ones], dim=1)
        return inputs, log_softmax(inputs @ parameters.view(self.outputs, self.inputs).T)
