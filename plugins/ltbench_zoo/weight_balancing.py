"""Weight balancing: Alshammari et al., "Long-Tailed Recognition via Weight Balancing", CVPR 2022.

Stage 1: cross entropy with strong weight decay (Sec. 3.2). Stage 2: the classifier alone, class-balanced loss, weight decay and
MaxNorm by projected gradient descent (Sec. 3.3, Eq. 5 and 6).
"""

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import Member, MethodContext, OneClassifier, Training
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step
from ltbench_zoo.weights import class_balanced


class WeightBalancing(OneClassifier):
    """Both stages are this method's own: its features are not the baseline's."""

    class Config(OneClassifier.Config):
        weight_decay: float = Field(5e-3, ge=0, description="of the first stage, in place of optim.weight_decay")
        classifier: OptimConfig = Field(
            OptimConfig(epochs=10, batch_size=64, lr=0.01, weight_decay=0.1), description="of the second stage"
        )
        views: int = Field(5, ge=1, description="views of each image in the second stage")
        threshold: float = Field(
            0.1, ge=0, le=1, description="radius of MaxNorm, between the smallest (0) and largest (1) norm of stage 1"
        )
        beta: float = Field(0.9999, ge=0, lt=1, description="of the class weights (Cui et al. 2019)")

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        super().fit(context, members)
        (member,) = members
        head = cast(nn.Linear, member.head)
        radius = radius_of(head.weight.detach(), self.config.threshold)

        def update(step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
            loss = step.loss_of(self.balanced_loss)
            optimizer.zero_grad()
            step.backward(loss)
            optimizer.step()
            project(head.weight.data, radius)
            return loss

        features = context.features(member.backbone, "train", self.config.views)
        result = context.train(
            member, optim=self.config.classifier, features=features, update=update, label="classifier"
        )
        context.log(member="classifier", best_epoch=result.best_epoch, best_accuracy=result.best_accuracy)

    def training(self) -> Training:
        decay = {"weight_decay": self.config.weight_decay}
        return {**super().training(), "optim": self.config.optim.model_copy(update=decay)}

    def balanced_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """w_y (-log p_y), mean over the batch; the weights have mean 1 over the classes (Cui et al. 2019)."""
        weights = class_balanced(self.context.classes.train_counts, self.config.beta).to(logits)
        return (weights[targets] * F.cross_entropy(logits, targets, reduction="none")).mean()


def radius_of(weight: Tensor, threshold: float) -> float:
    """delta: so far from the smallest to the largest norm of the rows of float[C, D], as in the authors' code."""
    norms = torch.linalg.vector_norm(weight, dim=1)
    return float(norms.min() + threshold * (norms.max() - norms.min()))


def project(weight: Tensor, radius: float) -> None:
    """w_c <- min(1, delta / ||w_c||) w_c, in place (Eq. 6)."""
    weight *= (radius / torch.linalg.vector_norm(weight, dim=1, keepdim=True)).clamp(max=1)
