"""Cross entropy beside a contrast of two views, against a queue of keys from a slow copy of the network (He et al. 2020).

The first view goes through the network and a projection, the second through their moving average. A view's positive is the
other one; its negatives are the keys of earlier batches. What the objective has beside the member is in ``keep``.

ltbench --plugin docs/examples/two_views.py run --method contrasted
"""

import copy
from collections.abc import Iterator, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import AugmentConfig, Member, OneClassifier
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.request import Training
from ltbench.training.step import Step


class Contrasted(OneClassifier):
    class Config(OneClassifier.Config):
        weight: float = Field(0.35, ge=0, description="of the contrast, beside cross entropy")
        momentum: float = Field(0.99, ge=0, lt=1, description="how slowly the copy follows, a step")
        queue: int = Field(1024, ge=1, description="keys that are remembered")
        width: int = Field(64, ge=1, description="of the projection")
        temperature: float = Field(0.1, gt=0, description="of the contrast")

    def start(self, member: Member) -> None:
        self.projected = nn.Sequential(member.backbone, nn.Linear(member.backbone.num_features, self.config.width))
        self.slow = copy.deepcopy(self.projected).requires_grad_(False).eval()
        self.queue = nn.Module()
        self.queue.register_buffer("keys", F.normalize(torch.randn(self.config.queue, self.config.width)))

    def views(self) -> Sequence[AugmentConfig]:
        plain = self.context.augment.config
        return [plain, plain.model_copy(update={"policy": "rand"})]

    def training(self) -> Training:
        return {**super().training(), "keep": {"projection": self.projected[1], "slow": self.slow, "queue": self.queue}}

    def objective(self, step: Step) -> dict[str, Tensor]:
        output = step.forward(step.images)["all"]
        query = F.normalize(self.projected[1](output.features))
        key, queue = self.slow_keys(step.views[1]), self.queue.get_buffer("keys")
        logits = torch.cat([(query * key).sum(dim=1, keepdim=True), query @ queue.T.clone()], dim=1)
        queue.copy_(torch.cat([step.gather(key), queue])[: len(queue)])
        contrast = F.cross_entropy(logits / self.config.temperature, torch.zeros_like(step.targets))
        return {"loss": step.loss_of(self.loss, output) + self.config.weight * contrast, "contrast": contrast}

    @torch.no_grad()
    def slow_keys(self, images: Tensor) -> Tensor:
        """Keys float[B, width] of the slow copy, which follows first."""
        for slow, fast in zip(self.slow.parameters(), self.projected.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.config.momentum)
        for kept, now in zip(self.slow.buffers(), self.projected.buffers(), strict=True):
            kept.copy_(now)
        return F.normalize(self.slow(images))


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec("contrasted", target="two_views:Contrasted", paper="He et al. 2020", recipe="baseline")
