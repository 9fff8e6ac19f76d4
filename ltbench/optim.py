"""Settings of one training: SGD, its learning rate over time, how long, when to stop."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

MOST_EPOCHS = 10**6
LARGEST_BATCH = 2**24
"""Beyond the largest that anyone has trained with: what is larger was not meant."""


class OptimConfig(BaseModel):
    """SGD with momentum. ``epochs`` is raised where ``min_steps`` asks for more (small subsets have few steps an epoch)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(
        90, ge=0, le=MOST_EPOCHS, description="passes over the training samples; 0: keep the starting point"
    )
    batch_size: int = Field(256, ge=1, le=LARGEST_BATCH, description="samples a step, over all processes")
    lr: float = Field(0.1, gt=0, description="peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum")
    nesterov: bool = Field(False, description="Nesterov momentum")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty on the weights")
    schedule: Literal["cosine", "step", "constant"] = Field("cosine", description="how the learning rate falls")
    step_epochs: int = Field(10, ge=1, description="schedule = step: epochs between two drops")
    step_gamma: float = Field(0.1, gt=0, le=1, description="schedule = step: factor of each drop")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of all steps in which the learning rate rises linearly from 0"
    )
    min_steps: int = Field(0, ge=0, description="at least so many steps in all: adds epochs to small subsets")
    validate_every: int = Field(
        1, ge=1, description="epochs between two validations; the last epoch is always validated"
    )
    patience: int = Field(
        0, ge=0, description="stop after so many epochs without a better validation accuracy; 0: never"
    )

    def planned_epochs(self, samples: int) -> int:
        """Epochs for so many samples an epoch, raised to reach ``min_steps``."""
        return max(self.epochs, math.ceil(self.min_steps / max(1, math.ceil(samples / self.batch_size))))

    def validates(self, epoch: int, epochs: int) -> bool:
        """Whether ``epoch`` (from 1) of ``epochs`` is validated, and so can be the one that is kept."""
        return epoch % self.validate_every == 0 or epoch == epochs

    def factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """What the learning rate is multiplied by at ``step`` (from 0)."""
        total = steps_per_epoch * epochs
        warm = round(self.warmup * total)
        if step < warm:
            return (step + 1) / warm
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
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
