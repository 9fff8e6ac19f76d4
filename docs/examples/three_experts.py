"""Routing diverse experts without the routing (RIDE, Wang et al. 2021): three heads on one trunk, held apart.

Each expert has the network's last block and a classifier of its own; what lies below is computed once. Each learns from its own
cross entropy, and is rewarded for the divergence of its posterior from that of the mean of the logits.

ltbench --plugin docs/examples/three_experts.py run --method three-experts --fuser soft
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.forks import fork
from ltbench.method import Member, Method, MethodConfig, MethodContext
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step


class ThreeExperts(Method):
    class Config(MethodConfig):
        optim: OptimConfig = Field(OptimConfig(epochs=100), description="how the experts are trained, together")
        own_blocks: int = Field(1, ge=1, description="top blocks of the network that each expert has for itself")
        diversity: float = Field(0.2, ge=0, description="weight of the divergence from the mean")

    def build(self, context: MethodContext) -> list[Member]:
        classes = torch.arange(len(context.classes))
        backbones = fork(context.new_backbone(), self.config.own_blocks, number=3)
        return [
            Member(f"expert{number}", classes, backbone, nn.Linear(backbone.num_features, len(classes)))
            for number, backbone in enumerate(backbones)
        ]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        context.train(members, optim=self.config.optim, objective=self.objective)

    def objective(self, step: Step) -> dict[str, Tensor]:
        logits = [output.logits for output in step.outputs.values()]
        mean = torch.stack(logits).mean(dim=0).softmax(dim=1).detach()
        apart = [F.kl_div(each.log_softmax(dim=1), mean, reduction="batchmean") for each in logits]
        diversity = torch.stack(apart).sum()
        return {"loss": step.loss_of(F.cross_entropy) - self.config.diversity * diversity, "diversity": diversity}


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec(
        "three-experts",
        target="three_experts:ThreeExperts",
        summary="Three heads on one trunk, each with the last block of its own, held apart.",
        paper="Wang et al. 2021",
        recipe="baseline",
        partial=True,
    )
