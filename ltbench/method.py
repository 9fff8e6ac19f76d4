"""The contract of a method: it builds one or more members and trains them on what its context shows it.

The context holds the training and the validation split; the test split is the engine's alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ltbench.backbones import Backbone
from ltbench.data.base import Split
from ltbench.data.samplers import EpochSampler
from ltbench.fuser import Outside
from ltbench.optim import OptimConfig


@dataclass(frozen=True)
class Classes:
    """The classes of the dataset.

    Attributes:
        names: C names.
        train_counts: int64[C], training images of each.
        folds: fold name -> int64 ids of its classes, ascending, under the run's fold rule.
    """

    names: list[str]
    train_counts: Tensor
    folds: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.names)


class Classifier(nn.Module):
    """Backbone and head as one module: images float[B, C, H, W] -> logits float[B, K or K + 1]."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


@dataclass
class Member:
    """One classifier of a method.

    Attributes:
        name: unique within the method, e.g. ``many``.
        classes: int64[K], ascending dataset class ids its logits stand for.
        backbone: images float[B, C, H, W] -> features float[B, D].
        head: features float[B, D] -> logits float[B, K], or [B, K + 1] with the reject logit last when outside is ``reject``.
        outside: what it says about classes it does not cover, see :mod:`ltbench.fuser`.
    """

    name: str
    classes: Tensor
    backbone: Backbone
    head: nn.Module
    outside: Outside = "none"
    module: Classifier = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.module = Classifier(self.backbone, self.head)

    @property
    def width(self) -> int:
        """Number of logits."""
        return len(self.classes) + (self.outside == "reject")


@dataclass(frozen=True)
class Validation:
    """On what the epoch is selected: positions int64[M] in the val split and targets int64[M] among the logits."""

    indices: Tensor
    targets: Tensor


@dataclass(frozen=True)
class TrainingResult:
    """What came of training one member; the member holds the weights of ``best_epoch`` (from 1; 0: the starting point).

    ``best_accuracy`` is the validation accuracy of that epoch in percent; ``history`` has one entry an epoch, with
    ``val_accuracy`` where the epoch was validated.
    """

    best_epoch: int
    best_accuracy: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Round:
    """A round of a loop of the method's own: its number, from 0, and where a line of metrics for the log goes."""

    number: int
    log: Callable[[dict[str, Any]], None]


Loss = Callable[..., Tensor]
"""``loss(logits float[B, K], targets int64[B])`` -> scalar. With a third parameter ``features`` it gets float[B, D] too."""


class MethodContext(Protocol):
    """What a method may use. There is no test split in it, by design."""

    train: Split
    val: Split
    classes: Classes

    def new_backbone(self) -> Backbone:
        """An untrained (or pretrained, if the run says so) backbone; the same weights for the same seed and method."""

    def stage(self, method: str) -> list[Member]:
        """The trained members of a method named in this one's ``requires``. Copies: yours to change."""

    def train_classifier(
        self,
        member: Member,
        *,
        optim: OptimConfig,
        sampler: EpochSampler | None = None,
        loss: Loss | None = None,
        target_of: Tensor | None = None,
        validation: Validation | None = None,
        learnable_blocks: int | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        parameter_groups: Sequence[Mapping[str, Any]] | None = None,
        label: str | None = None,
    ) -> TrainingResult:
        """The one training loop: SGD over epochs, selected on validation accuracy, resumable after each epoch.

        Args:
            member: trained in place.
            optim: epochs, batch size, learning rate and the rest.
            sampler: training positions of each epoch; by default every training sample of the member's classes, shuffled.
            loss: cross entropy by default.
            target_of: int64[C], the target among the logits of each dataset class; by default the class's position in
                ``member.classes``, the reject logit for the others, -1 where there is none.
            validation: by default the validation samples of the member's classes.
            learnable_blocks: blocks that learn, counted from the head down (1: the head alone); None: all. The others
                run in eval mode.
            features: float[V, M, D], V views of cached features: only the head is trained, on a random view a draw.
            labels: int64[M], dataset class ids of ``features`` where those are not the training split's own; the
                sampler's positions then count among them.
            parameter_groups: optimiser groups, as torch takes them, where one learning rate does not do.
            label: name in logs and progress bars; by default the member's.
        """

    def features(self, backbone: Backbone, split: str, views: int = 1) -> Tensor:
        """float32[V, N, D] of ``train`` or ``val``; view 0 is the plain image, the others are augmented.

        They are computed once for each distinct set of backbone weights.
        """

    def generator(self, name: str) -> torch.Generator:
        """A stream of its own: same seed and name, same numbers, whatever else is drawn."""

    def log(self, **metrics: Any) -> None:
        """A line in the stage's ``log.jsonl``."""

    def progress(self, label: str, steps: int) -> AbstractContextManager[Callable[[], None]]:
        """Shows how far a loop outside :meth:`train_classifier` is: call what it gives after each of the steps."""

    def rounds(
        self, label: str, total: int, keep: Mapping[str, nn.Module | torch.optim.Optimizer]
    ) -> Iterator["Round"]:
        """A loop outside :meth:`train_classifier` in ``total`` rounds: yields those that are to be done.

        A killed run goes on after the last round kept. ``keep`` holds, by names without a dot, all modules and optimisers
        that the rounds change; they are brought to where that round left them. So that it ends as an uninterrupted run
        would, a round draws from generators named by its number.
        """

    def artifact(self, name: str) -> Path | None:
        """Where to write a file that is kept in the stage's folder, a figure say; None on processes that must not write."""


class MethodConfig(BaseModel):
    """Base of every method's hyperparameters: typed, unknown keys refused, each field with a description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(ABC):
    """One way to train members. A subclass of a shipped method that overrides its ``loss`` is about 20 lines."""

    Config: ClassVar[type[MethodConfig]] = MethodConfig

    def __init__(self, config: MethodConfig | None = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def build(self, context: MethodContext) -> list[Member]:
        """Untrained members. Building again and loading the stored weights must give the trained method."""

    @abstractmethod
    def fit(self, context: MethodContext, members: list[Member]) -> None:
        """Train the members in place."""
