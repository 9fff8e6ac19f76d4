"""A timm model as a backbone: pooled features, blocks to freeze."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from timm.models._manipulate import group_with_matcher
from torch import Tensor, nn

from ltbench.errors import UsageError

__all__ = ["Backbone", "Unused", "learnable"]

Unused = Literal["error", "allow"]
"""What is done about weights of a file that nothing takes."""


class Backbone(nn.Module):
    """A timm model without its classifier: images float[B, C, H, W] -> features float[B, D].

    Args:
        trunk: a timm model created with ``num_classes=0``.
        projection: width of a fully connected layer and ReLU after the pooled features (512 in OLTR); None: no such layer.
        unused: whether a file of weights may hold some that nothing takes, see
            :func:`ltbench.backbones.checkpoints.load_backbone`.

    Attributes:
        num_features: D.
        trunk: the timm model.
        projection: the layer and ReLU, or None.
        input_size: (H, W) that images are resized to on the device first; None: they have the size already.
    """

    def __init__(self, trunk: nn.Module, projection: int | None = None, unused: Unused = "error") -> None:
        super().__init__()
        self.unused = unused
        self.trunk = trunk
        self.input_size: tuple[int, int] | None = None
        pooled = int(getattr(trunk, "head_hidden_size", None) or trunk.num_features)  # type: ignore[arg-type]
        self.projection = nn.Sequential(nn.Linear(pooled, projection), nn.ReLU()) if projection else None
        self.num_features = projection or pooled

    def forward(self, images: Tensor) -> Tensor:
        """Features float[B, D] of ``images`` float[B, C, H, W]."""
        if self.input_size is not None:
            images = nn.functional.interpolate(images, self.input_size, mode="bilinear", align_corners=False)
        pooled = self.trunk(images)
        return pooled if self.projection is None else self.projection(pooled)

    @property
    def blocks(self) -> list[list[str]]:
        """Parameter names by block, from the input up; timm's ``group_matcher(coarse=True)``, the projection last."""
        named = [name for name, _ in self.trunk.named_parameters()]
        matcher = getattr(self.trunk, "group_matcher", None)
        groups = group_with_matcher([(name, name) for name in named], matcher(coarse=True)) if matcher else {0: named}
        blocks = [[f"trunk.{name}" for name in groups[key]] for key in sorted(groups)]
        if self.projection is not None:
            blocks.append([f"projection.{name}" for name, _ in self.projection.named_parameters()])
        return blocks

    def set_learnable(self, blocks: int | None) -> None:
        """Let the top ``blocks`` blocks learn and freeze the rest; None: all learn; 0: none.

        Raises:
            UsageError: fewer than none, or more blocks than the model has.
        """
        available = self.blocks
        if blocks is not None and not 0 <= blocks <= len(available):
            raise UsageError(
                f"learnable_blocks = {blocks + 1}: this backbone has {len(available)} blocks below the head; "
                f"use 1 (the head alone) to {len(available) + 1}, or 'all'."
            )
        learnable = (
            {name for block in available[len(available) - blocks :] for name in block} if blocks is not None else None
        )
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(learnable is None or name in learnable)

    def save_memory(self) -> None:
        """Recompute activations in the backward pass instead of keeping them (gradient checkpointing).

        Raises:
            UsageError: timm does not offer it for this model.
        """
        try:
            self.trunk.set_grad_checkpointing()  # type: ignore[operator]
        except (AttributeError, AssertionError) as error:
            raise UsageError(
                f"compute.gradient_checkpointing = true: timm offers it for no {type(self.trunk).__name__}; use "
                "compute.gradient_accumulation to save memory."
            ) from error

    def train(self, mode: bool = True) -> "Backbone":
        """As torch's, but frozen parts stay in eval mode: their BatchNorm statistics must not drift (PROTOCOL 2)."""
        super().train(mode)
        if mode:
            keep_frozen_in_eval(self)
        return self


def keep_frozen_in_eval(root: nn.Module) -> None:
    """Put every module that has parameters, none of which learns, into eval mode: BatchNorm's statistics stay as they are."""
    for module in root.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


@contextmanager
def learnable(backbone: "Backbone", blocks: int | None) -> Iterator[None]:
    """For a while only the top ``blocks`` blocks can learn (None: all), of what could learn before.

    Raises:
        UsageError: as :meth:`Backbone.set_learnable`.
    """
    before = {name: parameter.requires_grad for name, parameter in backbone.named_parameters()}
    try:
        backbone.set_learnable(blocks)
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and before[name])
        yield
    finally:
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(before[name])
