"""Sharpness-aware minimisation (Foret et al. 2021): down the gradient that is found a step up the hill.

Both gradients are averaged over the processes, so that all of them climb the same way. What is minimised is the method's loss:
a subclass that overrides ``loss`` has the step, too.

ltbench --plugin docs/examples/sharpness_aware.py run --method sharpness-aware
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from ltbench.method import OneClassifier
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.step import Step


class SharpnessAware(OneClassifier):
    class Config(OneClassifier.Config):
        rho: float = Field(0.05, gt=0, description="length of the step up the hill")

    def update(self, step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = step.loss_of(self.loss)
        step.backward(loss)
        weights = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        norm = torch.stack([weight.grad.norm() for weight in weights]).norm()
        climb = [self.config.rho * weight.grad / (norm + 1e-12) for weight in weights]
        with torch.no_grad():
            for weight, way in zip(weights, climb, strict=True):
                weight.add_(way)
        optimizer.zero_grad()
        (above,) = step.forward(step.images).values()
        step.backward(step.loss_of(self.loss, above))
        with torch.no_grad():
            for weight, way in zip(weights, climb, strict=True):
                weight.sub_(way)
        optimizer.step()
        return loss


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec(
        "sharpness-aware",
        target="sharpness_aware:SharpnessAware",
        summary="The baseline with sharpness-aware minimisation.",
        paper="Foret et al. 2021",
        recipe="baseline",
    )
