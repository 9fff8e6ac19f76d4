"""Knowledge distillation (Hinton et al. 2015) from the baseline: a second network learns from the first one's posterior, too.

ltbench --plugin docs/examples/distillation.py run --method distilled
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Member, OneClassifier
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.step import Step


class Distilled(OneClassifier):
    class Config(OneClassifier.Config):
        weight: float = Field(0.5, ge=0, le=1, description="of the teacher's posterior, against the labels")
        temperature: float = Field(2.0, gt=0, description="of both posteriors")

    def start(self, member: Member) -> None:
        (teacher,) = self.context.stage("baseline")
        self.teacher = teacher.module.eval()

    def objective(self, step: Step) -> dict[str, Tensor]:
        weight, temperature = self.config.weight, self.config.temperature
        with torch.no_grad():
            taught = (self.teacher(step.images) / temperature).softmax(dim=1)
        learned = (step.outputs["all"].logits / temperature).log_softmax(dim=1)
        distance = temperature**2 * F.kl_div(learned, taught, reduction="batchmean")
        return {"loss": (1 - weight) * step.loss_of(self.loss) + weight * distance, "distance": distance}


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec(
        "distilled",
        target="distillation:Distilled",
        summary="A network that learns from the labels and from the baseline's posterior.",
        paper="Hinton et al. 2015",
        requires=("baseline",),
        recipe="baseline",
    )
