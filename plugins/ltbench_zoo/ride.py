"""RIDE: Wang et al., "Long-tailed Recognition by Routing Diverse Distribution-Aware Experts", ICLR 2021.

Stage one: experts on a shared trunk, each with an LDAM loss that is reweighted late, held apart by the distribution-aware
diversity loss. Not here: stage two, the router, which saves computation, and distillation from six experts.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step
from ltbench_zoo.experts import Experts
from ltbench_zoo.ldam_drw import ldam, margins_of
from ltbench_zoo.weights import class_balanced


class RIDE(Experts):
    """As in the authors' code an expert is held apart from the mean of the logits of all, not from each other expert."""

    class Config(Experts.Config):
        optim: OptimConfig = Field(
            OptimConfig(epochs=100, lr=0.1, nesterov=True, weight_decay=2e-4), description="how the experts are trained"
        )
        experts: int = Field(3, ge=2, description="how many")
        diversity: float = Field(-0.2, le=0, description="factor of the divergence: below 0, for it is to grow")
        temperature: float = Field(1.0, gt=0, description="of the divergence, before classes are weighted")
        reweight_factor: float = Field(
            0.02, ge=0, lt=1, description="how far the temperature of a class follows its frequency, late"
        )
        max_margin: float = Field(0.5, ge=0, description="margin of the rarest class, in units of the cosine")
        defer: float = Field(0.8, ge=0, le=1, description="share of the epochs before classes are weighted; 1: never")
        beta: float = Field(0.9999, ge=0, lt=1, description="of the class weights (Cui et al. 2019)")

    @property
    def number(self) -> int:
        return self.config.experts

    def objective(self, step: Step) -> Mapping[str, Tensor]:
        """sum_e LDAM(z_e) + diversity * sum_e T^2 KL(mean, e), the class weights' mean taken over the whole batch."""
        counts, config = self.context.classes.train_counts.to(step.targets.device), self.config
        margins, weights = margins_of(counts, config.max_margin), torch.ones(len(counts), device=counts.device)
        temperatures = torch.full_like(weights, config.temperature)
        if step.epoch >= config.defer * step.epochs:
            weights = class_balanced(counts, config.beta)
            temperatures = config.temperature * relative_temperatures(counts, config.reweight_factor)
        mean_weight = step.gather(weights[step.targets]).mean()
        own = step.loss_of(
            lambda logits, targets: (
                (weights[targets] * ldam(logits, targets, margins, config.scale)).mean() / mean_weight
            )
        )
        apart = divergence(torch.stack([output.logits for output in step.outputs.values()]), temperatures)
        return {"loss": own + config.diversity * apart, "divergence": apart}


def relative_temperatures(counts: Tensor, factor: float) -> Tensor:
    """eta C n_c / sum n + 1 - eta, over their largest: float32[C]. Below 1 for rare classes, whose differences count more."""
    exact = counts.double()
    relative = factor * len(counts) * exact / exact.sum() + 1 - factor
    return (relative / relative.max()).float()


def divergence(logits: Tensor, temperatures: Tensor) -> Tensor:
    """mean(T)^2 times the sum over the experts of KL(softmax(mean z / T), softmax(z_e / T)), mean over the samples.

    The mean itself gets no gradient, in their code by a no_grad: sum_e (log m - log p_e) is the same for all classes.

    Args:
        logits: float[E, B, C].
        temperatures: T, float[C].
    """
    mean = (logits.mean(dim=0) / temperatures).softmax(dim=1)
    each = (logits / temperatures).log_softmax(dim=2)
    apart = torch.stack([F.kl_div(log_p, mean, reduction="batchmean") for log_p in each]).sum()
    return temperatures.mean() ** 2 * apart
