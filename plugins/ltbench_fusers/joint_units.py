"""Units for L-BFGS in which many parameters that should move as one are as easy to move as each alone.

In units of the pairs' own curvature (:class:`~ltbench_fusers.calibration.PairCurvature`) joint calibration still has a handful of
flat or steep directions: the scales of all of a member's logits, all its shifts, and those of its reject logit. Along these
the curvature is measured, and steps are stretched by it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench_fusers.calibration import PairCurvature

FLATTEST = 0.1
"""Least curvature that steps are stretched for, in the pairs' units: it is seldom as flat farther out."""

DIFFERENCE = 1e-3
"""Length of the steps, in the pairs' units, whose gradients are subtracted to measure the curvature."""


@dataclass(frozen=True)
class Stretched:
    """Units of the pairs, stretched along a few directions so that the curvature is about 1 there, too.

    Attributes:
        pairs: their units.
        directions: float64[P, D], orthonormal columns, in the pairs' units.
        stretch: float64[D, D], symmetric: what is added to the D coordinates along them.
    """

    pairs: PairCurvature
    directions: Tensor
    stretch: Tensor

    def parameters(self, steps: Tensor) -> Tensor:
        """The change of the parameters float64[P] that steps float64[P] make."""
        return self.pairs.parameters(self._stretched(steps))

    def gradient(self, gradient: Tensor) -> Tensor:
        """With respect to the steps, float64[P], from the one with respect to the parameters."""
        return self._stretched(self.pairs.gradient(gradient))

    def _stretched(self, steps: Tensor) -> Tensor:
        return steps + self.directions @ (self.stretch @ (self.directions.T @ steps))


def stretched(
    pairs: PairCurvature, together: Tensor, gradient: Callable[[Tensor], Tensor], parameters: Tensor
) -> Stretched:
    """Units at ``parameters`` float64[P].

    Args:
        together: float64[P, D], independent columns: changes of the parameters that may be flat or steep.
        gradient: of the objective or of an estimate of it, at any parameters: float64[P].
    """
    directions = torch.linalg.qr(torch.stack([pairs.steps(change) for change in together.T], dim=1)).Q
    here = gradient(parameters)
    changes = [gradient(parameters + DIFFERENCE * pairs.parameters(direction)) - here for direction in directions.T]
    curvature = directions.T @ torch.stack([pairs.gradient(change) for change in changes], dim=1) / DIFFERENCE
    along, axes = torch.linalg.eigh((curvature + curvature.T) / 2)
    factors = along.abs().clamp(min=FLATTEST).rsqrt()
    return Stretched(pairs, directions, axes @ torch.diag(factors - 1) @ axes.T)
