"""tau-normalised classifier: Kang et al., "Decoupling Representation and Classifier ...", ICLR 2020, Sec. 4, Eq. 5."""

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from ltbench.method import Member, Method, MethodConfig, MethodContext

GRID = torch.arange(21) / 10
"""Values of tau among which validation chooses."""


class TauNormalised(Method):
    """w~_c = w_c / ||w_c||^tau on the baseline's features, the bias dropped. Nothing is trained.

    The authors' script sweeps tau on the split that it is given; here that is validation, the smallest of equals.
    """

    class Config(MethodConfig):
        tau: float | Literal["val"] = Field(
            "val", description="the power of the norms, or val: of 0 to 2 by 0.1 the best on validation"
        )

    def build(self, context: MethodContext) -> list[Member]:
        backbone, classes = context.new_backbone(), torch.arange(len(context.classes))
        return [Member("all", classes, backbone, nn.Linear(backbone.num_features, len(classes), bias=False))]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        (baseline,), (member,) = context.stage("baseline"), members
        member.backbone.load_state_dict(baseline.backbone.state_dict())
        weight = cast(nn.Linear, baseline.head).weight.detach()
        tau = self.config.tau
        if tau == "val":
            (features,) = context.features(baseline.backbone, "val")
            right = [
                accuracy(features, normalised(weight.cpu(), tau), context.val_split.labels) for tau in GRID.tolist()
            ]
            tau = float(GRID[torch.tensor(right).argmax()])
        with torch.no_grad():
            cast(nn.Linear, member.head).weight.copy_(normalised(weight, tau))
        context.log(member=member.name, tau=tau)


def normalised(weight: Tensor, tau: float) -> Tensor:
    """w_c / ||w_c||^tau: float[C, D] (Eq. 5)."""
    return weight / torch.linalg.vector_norm(weight, dim=1, keepdim=True) ** tau


def accuracy(features: Tensor, weight: Tensor, labels: Tensor) -> float:
    """Share of samples, features float[N, D], whose largest logit is that of their label int64[N]."""
    return float(((features @ weight.T).argmax(dim=1) == labels).double().mean())
