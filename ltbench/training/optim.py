"""Settings of one training: optimiser, learning rate over time, how long, when to stop."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from ltbench.errors import did_you_mean

__all__ = ["OptimChanges", "OptimConfig"]

MOST_EPOCHS = 10**6
LARGEST_BATCH = 2**24
"""Beyond the largest that anyone has trained with: what is larger was not meant."""


class OptimConfig(BaseModel):
    """By default SGD with momentum. ``epochs`` is raised where ``min_steps`` asks for more (small subsets have few steps an
    epoch)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(
        90, ge=0, le=MOST_EPOCHS, description="passes over the training samples; 0: keep the starting point"
    )
    batch_size: int = Field(256, ge=1, le=LARGEST_BATCH, description="samples a step, over all processes")
    lr: float = Field(0.1, gt=0, description="peak learning rate")
    optimizer: str = Field("sgd", description="any of timm's: sgd, adamw, lion, lamb, ...")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum")
    nesterov: bool = Field(False, description="Nesterov momentum")
    betas: tuple[float, ...] | None = Field(None, description="of Adam and its kin; by default the optimiser's own")
    eps: float | None = Field(None, gt=0, description="of Adam and its kin; by default the optimiser's own")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty on the weights")
    decay_norm_and_bias: bool = Field(
        True, description="weight decay also on norms, biases and what timm exempts (position embeddings)"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor on the learning rate for each block further down from the head"
    )
    clip_norm: float | None = Field(None, gt=0, description="gradients are scaled down to this norm")
    ema: float = Field(
        0.0, ge=0, lt=1, description="decay of an average of the weights, which is validated and kept; 0: none"
    )
    ema_warmup: bool = Field(False, description="let the decay rise from 0, as timm does, for short trainings")
    schedule: Literal["cosine", "step", "constant"] = Field("cosine", description="how the learning rate falls")
    step_epochs: int = Field(10, ge=1, description="schedule = step: epochs between two drops")
    step_gamma: float = Field(0.1, gt=0, le=1, description="schedule = step: factor of each drop")
    milestones: tuple[int, ...] = Field(
        (), description="schedule = step: epochs after which it drops, in place of step_epochs"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of all steps in which the learning rate rises linearly from 0"
    )
    warmup_epochs: float = Field(0.0, ge=0, description="the same in epochs, in place of warmup")
    min_steps: int = Field(0, ge=0, description="at least so many steps in all: adds epochs to small subsets")
    validate_every: int = Field(
        1, ge=1, description="epochs between two validations; the last epoch is always validated"
    )
    patience: int = Field(
        0, ge=0, description="stop after so many epochs without a better validation accuracy; 0: never"
    )

    @field_validator("optimizer")
    @classmethod
    def _known(cls, name: str) -> str:
        from timm.optim import list_optimizers

        if name not in (known := list_optimizers()):
            raise ValueError(f"timm has no such optimiser.{did_you_mean(name, known)}")
        return name

    def planned_epochs(self, samples: int) -> int:
        """Epochs for so many samples an epoch, raised to reach ``min_steps``."""
        return max(self.epochs, math.ceil(self.min_steps / max(1, math.ceil(samples / self.batch_size))))

    def validates(self, epoch: int, epochs: int) -> bool:
        """Whether ``epoch`` (from 1) of ``epochs`` is validated, and so can be the one that is kept."""
        return epoch % self.validate_every == 0 or epoch == epochs

    def factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """What the learning rate is multiplied by at ``step`` (from 0)."""
        total = steps_per_epoch * epochs
        warm = round(self.warmup_epochs * steps_per_epoch if self.warmup_epochs else self.warmup * total)
        if step < warm:
            return (step + 1) / warm
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
        if self.schedule == "step" and self.milestones:
            return self.step_gamma ** sum(step >= steps_per_epoch * epoch for epoch in self.milestones)
        if self.schedule == "step":
            return self.step_gamma ** (step // (steps_per_epoch * self.step_epochs))
        return 1.0

    def changed(self, changes: BaseModel) -> "OptimConfig":
        """These settings with those of an :data:`OptimChanges` that were given in place."""
        return OptimConfig.model_validate({**self.model_dump(), **changes.model_dump(exclude_none=True)})


def _optional(name: str) -> tuple[Any, Any]:
    field = OptimConfig.model_fields[name]
    return field.annotation | None, Field(None, description=f"in place of optim.{name}")  # type: ignore[operator]


_FIELDS: dict[str, Any] = {name: _optional(name) for name in OptimConfig.model_fields}

OptimChanges = create_model("OptimChanges", __config__=ConfigDict(extra="forbid", frozen=True), **_FIELDS)
"""Every setting of :class:`OptimConfig`, each left out by default: exceptions for one of several trainings."""
