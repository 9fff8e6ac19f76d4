"""What methods of several experts have in common: a shared trunk, own last stages, own cosine classifiers.

RIDE (Wang et al., ICLR 2021), and after it SADE and BalPoE. Each expert is a member over all classes; the method's posterior is
the softmax of the mean of their logits: the fuser ``mean-logits``.
"""

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.backbones.forks import fork
from ltbench.method import Member, Method, MethodConfig, MethodContext, MixConfig, Training
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step
from ltbench_zoo.heads import CosineHead


class Experts(Method):
    """Trained together by :meth:`objective`; the trunk is computed once for all.

    The own stages of all start from the same weights, pretrained ones where the run has them; the classifiers differ.
    """

    context: MethodContext

    class Config(MethodConfig):
        optim: OptimConfig = Field(
            OptimConfig(epochs=180, batch_size=64, lr=0.025, nesterov=True), description="how the experts are trained"
        )
        own_blocks: int = Field(2, ge=1, description="top blocks of the network that each expert has for itself")
        scale: float = Field(30.0, gt=0, description="what cosines are multiplied by")

    @property
    @abstractmethod
    def number(self) -> int:
        """E, how many experts."""

    @abstractmethod
    def objective(self, step: Step) -> Mapping[str, Tensor]:
        """What is minimised in a step, see :data:`ltbench.training.request.Objective`."""

    def mixing(self) -> MixConfig | None:
        """Batch transforms in place of the run's; None: the run's."""
        return None

    def build(self, context: MethodContext) -> list[Member]:
        classes = torch.arange(len(context.classes))
        backbones = fork(context.new_backbone(), self.config.own_blocks, self.number)
        return [
            Member(f"expert{place}", classes, own, CosineHead(own.num_features, len(classes), self.config.scale))
            for place, own in enumerate(backbones, 1)
        ]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        self.context = context
        asked: Training = {"optim": self.config.optim, "objective": self.objective}
        if (mixing := self.mixing()) is not None:
            asked["mixing"] = mixing
        result = context.train(members, **asked)
        context.log(members=len(members), best_epoch=result.best_epoch, best_accuracy=result.best_accuracy)


class ShiftedExperts(Experts):
    """Experts that differ in what is added to their logits in training: each is the expert of another class distribution."""

    @abstractmethod
    def shifts(self) -> Tensor:
        """float[E, C], added to the logits of each expert in the loss, and nowhere else."""

    def objective(self, step: Step) -> Mapping[str, Tensor]:
        """Of each expert e the cross entropy of z_e + shift_e; their sum is minimised."""
        return {
            name: step.loss_of(partial(cross_entropy_of_shifted, shift=shift.to(output.logits)), output)
            for (name, output), shift in zip(step.outputs.items(), self.shifts(), strict=True)
        }


def cross_entropy_of_shifted(logits: Tensor, targets: Tensor, shift: Tensor) -> Tensor:
    """Mean of a batch: logits float[B, C], targets int64[B] or float[B, C], shift float[C]."""
    return F.cross_entropy(logits + shift, targets)
