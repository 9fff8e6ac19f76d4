"""The contract of a method: it builds one or more members and trains them on what its context shows it.

The context holds the training and the validation split; the test split is the engine's alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Unpack

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.backbone import Backbone
from ltbench.classes import Classes
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.base import Split
from ltbench.data.samplers import EpochSampler, InstanceSampler
from ltbench.members import Outside
from ltbench.training.optim import OptimConfig
from ltbench.training.request import Loss, Round, Training, TrainingResult, Validation
from ltbench.training.step import Minibatch, Step, minimised

__all__ = [
    "AugmentConfig",
    "Classes",
    "Classifier",
    "Loss",
    "Member",
    "Method",
    "MethodConfig",
    "MethodContext",
    "MixConfig",
    "OneClassifier",
    "Round",
    "Training",
    "TrainingResult",
    "Validation",
]


class Classifier(nn.Module):
    """Backbone and head as one module: images float[B, C, H, W] -> logits float[B, K or K + 1].

    Attributes:
        backbone: images -> features float[B, D].
        head: features -> logits.
    """

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits float[B, K or K + 1] of ``images`` float[B, C, H, W]."""
        return self.head(self.backbone(images))


@dataclass
class Member:
    """One classifier of a method.

    Attributes:
        name: unique within the method, e.g. ``many``.
        classes: int64[K], ascending dataset class ids its logits stand for.
        backbone: images float[B, C, H, W] -> features float[B, D].
        head: features float[B, D] -> logits float[B, K], or [B, K + 1] with the reject logit last when outside is ``reject``.
        outside: what it says about classes it does not cover, see :mod:`ltbench.members`.
        module: backbone and head as one.
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


class MethodContext(Protocol):
    """What a method may use. There is no test split in it, by design.

    Attributes:
        train_split: the training images and ``labels`` int64[N]; ``train_split.__getitems__(indices)`` gives a
            :class:`ltbench.data.Batch` as it is stored.
        val_split: the same for validation.
        classes: of the dataset: names, training counts, folds.
    """

    train_split: Split
    val_split: Split
    classes: Classes

    @property
    def device(self) -> torch.device:
        """Where tensors go."""

    @property
    def augment(self) -> Augment:
        """The run's: uint8 images -> what the network sees."""

    def new_backbone(self) -> Backbone:
        """An untrained (or pretrained, if the run says so) backbone; the same weights for the same seed and method.

        Raises:
            DataError: the run's weights for it cannot be had or do not fit.
        """

    def stage(self, method: str) -> list[Member]:
        """The trained members of a method named in this one's ``requires``, in eval mode. Copies: yours to change.

        Raises:
            LtbenchError: the method's spec does not require that one.
        """

    def train(self, members: Member | Sequence[Member], **asked: Unpack[Training]) -> TrainingResult:
        """The one training loop: trains one or several members together, in place. Epochs, selected on validation accuracy,
        resumable after each of them.

        Modules that members share (a backbone, or blocks of one: :func:`ltbench.backbones.forks.fork`) are computed once a step
        and once in evaluation, and stored once. Of several members over the same classes the epoch is selected by the mean of
        their logits, else by the mean of their accuracies, each on its own classes.

        Args:
            members: one or several of those that ``build`` made.
            asked: see :class:`ltbench.training.request.Training`; ``optim`` is needed.

        Raises:
            UsageError: arguments that do not go together, or that this machine or precision cannot do.
        """

    def batches(
        self,
        epoch: int,
        *,
        batch_size: int,
        label: str = "batches",
        sampler: EpochSampler | None = None,
        views: int | Sequence[AugmentConfig] = 1,
        features: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Iterator[Minibatch]:
        """For a loop of one's own: this process's part of each batch of an epoch (from 0), on the device.

        ``sampler``, ``views``, ``features`` float[V, M, D] and ``labels`` int64[M] are as in
        :class:`ltbench.training.request.Training`; targets are dataset class ids, nothing is mixed. What is drawn depends on
        ``label`` and the epoch alone.
        """

    def features(self, backbone: Backbone, split: str, views: int = 1) -> Tensor:
        """float32[V, N, D] of ``train`` or ``val``; view 0 is the plain image, the others are augmented.

        They are computed in eval mode, once for each distinct set of backbone weights, and lie in the memory of the CPU.

        Raises:
            LtbenchError: another split.
        """

    def generator(self, name: str) -> torch.Generator:
        """A CPU stream of its own: same seed and name, same numbers, whatever else is drawn."""

    def log(self, **metrics: Any) -> None:
        """A line in the stage's ``log.jsonl``; values as JSON has them. Of several processes the first one writes."""

    def progress(self, label: str, steps: int) -> AbstractContextManager[Callable[[], None]]:
        """Shows how far a loop outside :meth:`train` is: call what it gives after each of the steps."""

    def rounds(
        self, label: str, total: int, keep: Mapping[str, nn.Module | torch.optim.Optimizer]
    ) -> Iterator["Round"]:
        """A loop outside :meth:`train` in ``total`` rounds: yields those that are to be done.

        A killed run goes on after the last round kept. ``keep`` holds, by names without a dot, all modules and optimisers
        that the rounds change; they are brought to where that round left them. So that it ends as an uninterrupted run
        would, a round draws from generators named by its number.

        Args:
            label: of the progress and of what is kept; each loop of a method has its own.
        """

    def artifact(self, name: str) -> Path | None:
        """Where to write a file that is kept in the stage's folder, a figure say; None on processes that must not write."""


class MethodConfig(BaseModel):
    """Base of every method's hyperparameters: typed, unknown keys refused, each field with a description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(ABC):
    """One way to train members. For another loss, derive from :class:`OneClassifier`.

    Attributes:
        Config: class of its hyperparameters, a :class:`MethodConfig`.
        config: the hyperparameters of this object, of that class.
    """

    Config: ClassVar[type[MethodConfig]] = MethodConfig

    def __init__(self, config: MethodConfig | None = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def build(self, context: MethodContext) -> list[Member]:
        """Untrained members, each with a name of its own. Building again and loading the stored weights must give the trained
        method."""

    @abstractmethod
    def fit(self, context: MethodContext, members: list[Member]) -> None:
        """Train the members in place, with :meth:`MethodContext.train` or a loop of one's own."""


class OneClassifier(Method):
    """One classifier over all classes: what most methods are, with another loss, sampling, head or step. Override what differs.

    Of :meth:`loss`, :meth:`objective` and :meth:`update` the last in this order that a subclass overrides is what is trained by.

    Attributes:
        context: of the training, from ``fit`` on; ``self.context.classes.train_counts`` is what many losses need.
    """

    context: MethodContext

    class Config(MethodConfig):
        """Derive from it to add hyperparameters."""

        optim: OptimConfig = Field(
            OptimConfig(epochs=100, batch_size=512, lr=0.2), description="how the classifier is trained"
        )

    def build(self, context: MethodContext) -> list[Member]:
        backbone, classes = self.backbone(context), torch.arange(len(context.classes))
        return [Member("all", classes, backbone, self.head(backbone.num_features, len(classes)))]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        self.context = context
        (member,) = members
        self.start(member)
        result = context.train(member, **self.training())
        context.log(member=member.name, best_epoch=result.best_epoch, best_accuracy=result.best_accuracy)

    def backbone(self, context: MethodContext) -> Backbone:
        """The network below the head. What is frozen here (``requires_grad_(False)``) stays as it is."""
        return context.new_backbone()

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        """The classifier: features float[B, D] -> logits float[B, C]."""
        return nn.Linear(num_features, num_classes)

    def start(self, member: Member) -> None:
        """Before the training: other weights to start from, say those of ``self.context.stage(...)``."""

    def training(self) -> Training:
        """The arguments of the training (:class:`ltbench.training.request.Training`). Add to ``super().training()``."""
        arguments: Training = {"optim": self.config.optim, "sampler": self.sampler(self.context), "views": self.views()}
        if (mixing := self.mixing()) is not None:
            arguments["mixing"] = mixing
        if type(self).update is not OneClassifier.update:
            arguments["update"] = self.update
        elif type(self).objective is not OneClassifier.objective:
            arguments["objective"] = self.objective
        else:
            arguments["loss"] = self.loss
        return arguments

    def sampler(self, context: MethodContext) -> EpochSampler:
        """Which training samples an epoch passes over, and in which order."""
        return InstanceSampler(len(context.train_split))

    def views(self) -> int | Sequence[AugmentConfig]:
        """Augmented versions of each image: how many, or a table for each."""
        return 1

    def mixing(self) -> MixConfig | None:
        """Batch transforms in place of the run's; None: the run's."""
        return None

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch: logits float[B, C], targets int64[B]."""
        return F.cross_entropy(logits, targets)

    def objective(self, step: Step) -> Tensor | Mapping[str, Tensor]:
        """What is minimised, a mean over the samples, or several by name: see :data:`ltbench.training.request.Objective`.

        By default :meth:`loss` of the first view.
        """
        return step.loss_of(self.loss)

    def update(self, step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
        """The whole step, see :data:`ltbench.training.request.Update`; the loss, a scalar. By default down the gradient of
        :meth:`objective`."""
        loss = minimised(self.objective(step))
        optimizer.zero_grad()
        step.backward(loss)
        optimizer.step()
        return loss
