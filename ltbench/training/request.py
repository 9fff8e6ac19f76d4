"""What a training is asked for and what it answers: the arguments of ``context.train``, written once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict

import torch
from torch import Tensor, nn

from ltbench.data.augmentation.augment import AugmentConfig
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.samplers import EpochSampler
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step

__all__ = ["Kept", "Loss", "Objective", "Round", "Training", "TrainingResult", "Update", "Validation"]

Loss = Callable[..., Tensor]
"""``loss(logits float[B, K], targets int64[B])`` -> scalar. With a third parameter ``features`` it gets float[B, D] too."""

Objective = Callable[[Step], Tensor | Mapping[str, Tensor]]
"""``objective(step)`` -> scalar, a mean over the samples of ``step``; or several by name. Then the one called ``loss`` is
minimised, or their sum where none is, and all are logged as means of the epoch."""

Update = Callable[[Step, torch.optim.Optimizer], Tensor]
"""``update(step, optimizer)`` -> the loss, for the log. It does the whole step: ``zero_grad``, ``step.backward``, ``step``."""

Kept = Mapping[str, nn.Module | torch.optim.Optimizer]
"""Modules and optimisers by names without a dot."""


@dataclass(frozen=True)
class Validation:
    """On what the epoch is selected.

    Attributes:
        indices: int64[M], positions in the val split.
        targets: int64[M], the target of each among the logits.
    """

    indices: Tensor
    targets: Tensor


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training.

    Attributes:
        best_epoch: whose weights the members hold: from 1; 0: the starting point.
        best_accuracy: validation accuracy of that epoch in percent.
        history: means of each epoch by name; with ``val_accuracy`` in percent where the epoch was validated.
    """

    best_epoch: int
    best_accuracy: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Round:
    """A round of a loop of the method's own.

    Attributes:
        number: from 0.
        log: takes a line of metrics for the log.
    """

    number: int
    log: Callable[[dict[str, Any]], None]


class Training(TypedDict, total=False):
    """Arguments of :meth:`ltbench.method.MethodContext.train`; all but ``optim`` may be left out.

    What is minimised is said on one of three levels, the simplest that does; cross entropy by default.

    Attributes:
        optim: optimiser, epochs, batch size, learning rate and the rest.
        loss: of each member's logits, see :data:`Loss`; of several members the sum.
        objective: of everything about the batch, see :data:`Objective`.
        update: the step itself, see :data:`Update`. It cannot be had with gradient accumulation or fp16.
        keep: what the objective or the update has beside the members, by names without a dot: a projection head, a momentum
            encoder, a queue, a second optimiser. It is moved to the device, saved with each checkpoint and left as the last
            epoch leaves it. Parameters in it that can learn, and belong to no optimiser in it, learn with the members'.
        sampler: training positions of each epoch; by default every training sample of the members' classes, shuffled.
        views: augmented versions of each image: how many, all by the run's augmentation, or one table for each. Of
            features: how many.
        mixing: in place of the run's; of features only if given here.
        target_of: int64[C], the target among the logits of each dataset class. By default, where all members have the same
            classes: the class's position in ``member.classes``, the reject logit for the others, -1 where there is none.
            Members of different classes have dataset class ids as targets.
        validation: by default the validation samples of the members' classes.
        learnable_blocks: blocks that learn, counted from the head down (1: the head alone); None: all. The others run in eval
            mode. What does not learn already (``requires_grad`` is False) never does.
        features: float[V, M, D], V views of cached features: only the heads are trained, on a random view a draw.
        labels: int64[M], dataset class ids of ``features`` where those are not the training split's own; the sampler's
            positions then count among them.
        parameter_groups: optimiser groups, as torch takes them, where one learning rate does not do.
        label: name in logs and progress bars; by default the members'.
    """

    optim: Required[OptimConfig]
    loss: Loss | None
    objective: Objective | None
    update: Update | None
    keep: Kept
    sampler: EpochSampler | None
    views: int | Sequence[AugmentConfig]
    mixing: MixConfig | None
    target_of: Tensor | None
    validation: Validation | None
    learnable_blocks: int | None
    features: Tensor | None
    labels: Tensor | None
    parameter_groups: Sequence[Mapping[str, Any]] | None
    label: str | None
