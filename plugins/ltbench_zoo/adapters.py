"""AdaptFormer (Chen et al., NeurIPS 2022) in a frozen vision transformer, as LIFT has it: a narrow network beside each MLP."""

from collections.abc import Iterable
from math import floor, log2, sqrt

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ltbench.errors import UsageError


class AdaptFormer(nn.Module):
    """s * up(relu(down(LayerNorm(x)))): float[..., D] -> float[..., D], 0 at first, for ``up`` starts from zero.

    Attributes:
        scale: s, learned, from 1 (0.1 and fixed in Chen et al.; learned in the code of LIFT).
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm, self.down, self.up = nn.LayerNorm(features), nn.Linear(features, width), nn.Linear(width, features)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.kaiming_normal_(self.down.weight, a=sqrt(5))
        for started_from_zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(started_from_zero)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scale * self.up(self.down(self.norm(tokens)).relu())


class AdaptedMLP(nn.Module):
    """What a block adds to its tokens after the attention: ls(mlp(norm(x))) as it was, and beside it the adapter of x."""

    def __init__(self, block: Block, features: int, width: int) -> None:
        super().__init__()
        self.norm, self.frozen, self.layer_scale = block.norm2, block.mlp, block.ls2
        self.adapter = AdaptFormer(features, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layer_scale(self.frozen(self.norm(tokens))) + self.adapter(tokens)


def blocks_of(trunk: nn.Module) -> list[Block]:
    """The blocks of a timm vision transformer.

    Raises:
        UsageError: it is none, or its blocks are of another kind: without x + ls(mlp(norm(x))) at their end.
    """
    blocks = list(trunk.blocks) if isinstance(trunk, VisionTransformer) else []
    if not blocks or not all(isinstance(block, Block) for block in blocks):
        kind = type(blocks[0] if blocks else trunk).__name__
        raise UsageError(
            f"lift adapts the blocks of a timm vision transformer; this backbone is of {kind}: "
            "--backbone vit_base_patch16_224, or another of timm.list_models('vit_*')."
        )
    return blocks


def width_of(num_classes: int, num_blocks: int) -> int:
    """2^floor(log2(C / 2L)), at least 1: adapters of L blocks then have about as many parameters as the classifier."""
    return 2 ** max(0, floor(log2(num_classes / (2 * num_blocks))))


def insert(blocks: Iterable[Block], features: int, width: int) -> None:
    """An adapter into each block, whose tokens are float[..., features]; the blocks compute what they did until it learns."""
    for block in blocks:
        block.mlp = AdaptedMLP(block, features, width)
        block.norm2, block.ls2 = nn.Identity(), nn.Identity()
