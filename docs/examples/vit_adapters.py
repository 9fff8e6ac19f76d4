"""Adapters on a frozen vision transformer (AdaptFormer, Chen et al. 2022), with AdamW; the loss is logit adjustment.

In each block of the transformer a narrow network stands beside the frozen MLP. Its last layer starts from zero, so that the
training starts from the network as it was. Only the adapters and the classifier learn.

ltbench --plugin docs/examples/vit_adapters.py run --method adapters \\
    --set 'backbone.name="vit_tiny_patch16_224"' --set backbone.kwargs.img_size=32
"""

from collections.abc import Iterator

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.backbone import Backbone
from ltbench.errors import UsageError
from ltbench.method import MethodContext, OneClassifier
from ltbench.plugin import MethodSpec, hookimpl
from ltbench.training.optim import OptimConfig


class Adapted(nn.Module):
    """A module with a narrow one beside it: float[B, T, D] -> float[B, T, D]."""

    def __init__(self, frozen: nn.Module, features: int, width: int) -> None:
        super().__init__()
        self.frozen, self.down, self.up = frozen, nn.Linear(features, width), nn.Linear(width, features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.frozen(tokens) + self.up(F.relu(self.down(tokens)))


class Adapters(OneClassifier):
    class Config(OneClassifier.Config):
        optim: OptimConfig = Field(
            OptimConfig(epochs=10, batch_size=128, lr=1e-3, optimizer="adamw", weight_decay=0.05),
            description="how adapters and classifier are trained",
        )
        width: int = Field(16, ge=1, description="of the adapters")

    def backbone(self, context: MethodContext) -> Backbone:
        backbone = super().backbone(context).requires_grad_(False)
        blocks = getattr(backbone.trunk, "blocks", None)
        if blocks is None:
            raise UsageError("adapters are for vision transformers: --set backbone.name='\"vit_tiny_patch16_224\"'.")
        for block in blocks:
            block.mlp = Adapted(block.mlp, backbone.num_features, self.config.width)
        return backbone

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits + self.context.classes.train_counts.clamp(min=1).to(logits).log(), targets)


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec("adapters", target="vit_adapters:Adapters", paper="Chen et al. 2022")
