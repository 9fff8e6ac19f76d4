"""LWS, learnable weight scaling: Kang et al., "Decoupling Representation and Classifier ...", ICLR 2020, Sec. 4, Eq. 6."""

from typing import cast

from pydantic import Field
from torch import nn

from ltbench.method import Member
from ltbench.training.optim import OptimConfig
from ltbench_zoo.heads import ScaledHead
from ltbench_zoo.second_stage import SecondStage


class LearnedScales(SecondStage):
    """w~_c = f_c w_c: the first stage's classifier stays, a scale f_c for each class is learned on class-balanced batches.

    As in the authors' code the scale multiplies the bias, too.
    """

    class Config(SecondStage.Config):
        optim: OptimConfig = Field(
            OptimConfig(epochs=5, batch_size=512, lr=0.2), description="how the scales are trained"
        )

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return ScaledHead(num_features, num_classes)

    def start(self, member: Member, first: Member) -> None:
        cast(ScaledHead, member.head).linear.load_state_dict(first.head.state_dict())
