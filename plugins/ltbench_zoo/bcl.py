"""BCL: Zhu et al., "Balanced Contrastive Learning for Long-Tailed Visual Recognition", CVPR 2022.

A classifier with a logit-adjusted loss on one view of an image, and the balanced contrastive loss on two more.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.errors import UsageError
from ltbench.method import AugmentConfig, Member, OneClassifier, Training
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step
from ltbench_zoo.heads import CosineHead
from ltbench_zoo.weights import log_frequencies


class BCL(OneClassifier):
    """Class prototypes are made of the classifier's weights, by a projection of their own."""

    class Config(OneClassifier.Config):
        optim: OptimConfig = Field(OptimConfig(epochs=90, lr=0.1), description="how the network is trained")
        weight: float = Field(0.35, ge=0, description="of the contrastive loss, beside the logit-adjusted one")
        temperature: float = Field(0.07, gt=0, description="of the contrastive loss")
        width: int = Field(1024, ge=1, description="of the space in which features are contrasted")
        scale: float = Field(30.0, gt=0, description="what cosines of the classifier are multiplied by")
        policy: Literal["none", "rand"] = Field(
            "rand",
            description="of the view that is classified: RandAugment, or as the run says; the others are as the run says",
        )

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return CosineHead(num_features, num_classes, self.config.scale)

    def start(self, member: Member) -> None:
        self.classifier = cast(CosineHead, member.head)
        self.projection, self.to_prototypes = (mlp(member.backbone.num_features, self.config.width) for _ in range(2))

    def views(self) -> Sequence[AugmentConfig]:
        """Three of an image, on the same process: one to classify, two to contrast."""
        plain = self.context.augment.config
        strong = plain.model_copy(update={"policy": "rand", "rand_ops": 2, "rand_magnitude": 10})
        return [plain if self.config.policy == "none" else strong, plain, plain]

    def training(self) -> Training:
        return {**super().training(), "keep": {"projection": self.projection, "prototypes": self.to_prototypes}}

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of z + log pi, mean over the batch."""
        return F.cross_entropy(logits + log_frequencies(self.context.classes.train_counts).to(logits), targets)

    def objective(self, step: Step) -> Mapping[str, Tensor]:
        """The logit-adjusted loss of the first view and ``weight`` times the contrastive one of the others."""
        if step.batch is not None:
            raise UsageError(
                "bcl contrasts the images of one class with those of others: set mixing.mixup and cutmix to 0."
            )
        first, *others = (outputs["all"] for outputs in step.view_outputs)
        projected = F.normalize(self.projection(torch.stack([each.features for each in others], dim=1)), dim=2)
        prototypes = F.normalize(self.to_prototypes(self.classifier.weight), dim=1)
        features, targets = of_the_whole_batch(step, projected.float())
        contrast = balanced_contrast(
            features.flatten(0, 1), targets.repeat_interleave(len(others)), prototypes.float(), self.config.temperature
        )
        classified = step.loss_of(self.loss, first)
        return {"loss": classified + self.config.weight * contrast, "classified": classified, "contrast": contrast}


def mlp(num_features: int, width: int) -> nn.Sequential:
    """A hidden layer as wide as the features: float[..., D] -> float[..., width]."""
    return nn.Sequential(nn.Linear(num_features, num_features), nn.ReLU(), nn.Linear(num_features, width))


def of_the_whole_batch(step: Step, values: Tensor) -> tuple[Tensor, Tensor]:
    """Values [B, ...] of this process and those of all others, with their targets, so that a loss of pairs knows every pair.

    Those of others take no gradient here, they do there; for the average over the processes that of the own is scaled up.
    """
    indices = step.gather(step.indices.to(values.device))
    foreign = ~torch.isin(indices, step.indices.to(values.device))
    share = len(values) / len(indices)
    own = values.detach() + (values - values.detach()) / share
    return (
        torch.cat([own, step.gather(values)[foreign]]),
        torch.cat([step.targets, step.gather(step.targets)[foreign]]),
    )


def balanced_contrast(features: Tensor, targets: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Mean over the samples i of class y of

    -1 / |P_i| sum_{p in P_i} log(exp(z_i z_p / t) / sum_c 1 / |B_c| sum_{k in B_c} exp(z_i z_k / t)).

    B_c are the samples of class c and its prototype (class averaging, class complement); of its own class i itself is left out.

    Args:
        features: z, float[N, W] of length 1.
        targets: y, int64[N].
        prototypes: float[C, W] of length 1, one for each class: every class has a positive in every batch.
        temperature: t.
    """
    classes = torch.cat([targets, torch.arange(len(prototypes), device=targets.device)])
    similarity = features @ torch.cat([features, prototypes]).T / temperature
    itself = torch.eye(*similarity.shape, dtype=torch.bool, device=similarity.device)
    positive = ((targets[:, None] == classes) & ~itself).to(similarity)
    sizes = torch.bincount(classes, minlength=len(prototypes))[classes] - positive
    normaliser = (similarity - sizes.log()).masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    return -((positive * (similarity - normaliser)).sum(dim=1) / positive.sum(dim=1)).mean()
