"""A method's context without an engine, for tests of what the method itself computes: :class:`FakeContext`, which plugin authors
import from :mod:`ltbench.testing`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Generator, Tensor, nn

from ltbench.backbones.backbone import Backbone
from ltbench.classes import classes_of
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.base import TensorSplit
from ltbench.data.samplers import EpochSampler, InstanceSampler
from ltbench.engine.fitting.trainee import Trainee
from ltbench.engine.machine.seeding import global_stream, stream
from ltbench.errors import LtbenchError
from ltbench.method import Member
from ltbench.training.mixing import Mixed
from ltbench.training.request import Kept, Round, Training, TrainingResult
from ltbench.training.step import Clock, Engine, Minibatch, Step

SIDE, VAL_PER_CLASS = 4, 5
"""Pixels of an image along each axis; images of each class for validation."""


class Flat(nn.Module):
    """Images float[B, 1, 4, 4] -> features float[B, D] through one linear layer: the smallest network that learns."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features, self.layer = num_features, nn.Linear(SIDE * SIDE, num_features)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


class FakeContext:
    """A :class:`ltbench.method.MethodContext` that trains nothing: it notes what a method asks to be trained.

    Images are grey noise of 4 x 4 pixels, five of each class for validation; nothing is augmented. :meth:`step` makes what an
    objective and an update see. With it a test checks in milliseconds what a method asks for and computes;
    :func:`ltbench.testing.check_method` really trains.

    Args:
        train_counts: training images of each class; by default those of ``labels``.
        labels: int64[N], the class of each training image; by default in the order of the classes.
        features: float[V, N, D], what :meth:`features` gives of the training split; by default what the backbone makes of the
            images.
        val_features: float[V, M, D], the same of the validation split.
        stages: what :meth:`stage` gives: members by method, or names of methods that have one drawn member, ``all``.
        num_features: D of new backbones; by default that of ``features``, or 4.
        answer: (members, arguments of ``train``) -> the best accuracy that such a training comes to; 0 by default. It may change
            the members, as a training would.
        folder: where artifacts go; without it :meth:`artifact` gives None.

    Raises:
        TypeError: neither ``train_counts`` nor ``labels``.

    Attributes:
        trained: the arguments of each call of :meth:`train`, and its ``members``.
        logged: what was logged, an entry for each call.
        train_split: the images and labels.
        val_split: the same for validation.
        classes: with folds by the rule ``paper``.
        device: the CPU.
        augment: no augmentation.
        interrupt_before: the number of a round before which :meth:`rounds` raises KeyboardInterrupt. Set to None again, a second
            ``fit`` goes on from there, as a killed run does.
    """

    def __init__(
        self,
        train_counts: Sequence[int] | Tensor | None = None,
        *,
        labels: Tensor | None = None,
        features: Tensor | None = None,
        val_features: Tensor | None = None,
        stages: Sequence[str] | Mapping[str, Sequence[Member]] = (),
        num_features: int | None = None,
        answer: Callable[[list[Member], dict[str, Any]], float] | None = None,
        folder: Path | None = None,
    ) -> None:
        if train_counts is None:
            if labels is None:
                raise TypeError("FakeContext needs train_counts or labels")
            train_counts = torch.bincount(labels)
        self.classes = classes_of(train_counts)
        ids = torch.arange(len(self.classes))
        self.train_split = _noise(ids.repeat_interleave(self.classes.train_counts) if labels is None else labels)
        self.val_split = _noise(ids.repeat_interleave(VAL_PER_CLASS))
        self.device, self.augment = torch.device("cpu"), Augment(AugmentConfig(), (0.5,), (0.25,))
        self.trained: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.interrupt_before: int | None = None
        self._features = {"train": features, "val": val_features}
        self._num_features = num_features or (4 if features is None else features.shape[2])
        self._stages = dict(stages) if isinstance(stages, Mapping) else {name: [self.member(name)] for name in stages}
        self._answer, self._folder = answer, folder
        self._rounds: dict[str, tuple[int, dict[str, Any]]] = {}

    def member(self, stream_name: str = "member") -> Member:
        """A member ``all`` over all classes: a new backbone and a linear head, the same for the same ``stream_name``."""
        with global_stream(0, stream_name):
            head = nn.Linear(self._num_features, len(self.classes))
            return Member("all", torch.arange(len(self.classes)), Backbone(Flat(self._num_features)), head)

    def step(
        self,
        members: Member | Sequence[Member],
        indices: Tensor | Sequence[int],
        *,
        epoch: int = 0,
        epochs: int = 1,
        steps_per_epoch: int = 1,
        targets: Tensor | None = None,
        views: int | Sequence[Tensor] = 1,
        mixed: Mixed | None = None,
        smoothing: float = 0.0,
    ) -> Step:
        """A step of a training of ``members``, the first of its epoch, on one process.

        Args:
            indices: int64[B], positions in the training split.
            targets: int64[B], if not the dataset classes of those.
            views: inputs float[B, ...], one tensor a view; or how many times the images themselves.
            mixed: how the inputs are to be mixed.
            smoothing: label smoothing.
        """
        chosen = torch.as_tensor(indices)
        batch = self.train_split.__getitems__(chosen.tolist())
        inputs = [self.augment.plain(batch.images)] * views if isinstance(views, int) else views
        if mixed is not None:
            inputs = [mixed.images(view) for view in inputs]
        together = [members] if isinstance(members, Member) else members
        trainee = Trainee({member.name: (member.backbone, member.head) for member in together})
        clock = Clock(epoch, epochs, epoch * steps_per_epoch, epochs * steps_per_epoch)
        engine = Engine(
            forward=trainee,
            generator=lambda: self.generator(f"step {clock.step}"),
            backward=lambda loss, _: loss.backward(),
            gather=lambda values, _: values,
            smoothing=smoothing,
        )
        targets = batch.labels if targets is None else targets
        return Step(_whole(inputs, targets, chosen, mixed), clock, engine)

    def new_backbone(self) -> Backbone:
        """One linear layer, the same weights at every call."""
        with global_stream(0, "backbone"):
            return Backbone(Flat(self._num_features))

    def stage(self, method: str) -> list[Member]:
        """Copies of the members that were given. Raises LtbenchError for another method."""
        if method not in self._stages:
            raise LtbenchError(f"asked for the stage of '{method}', but there is {', '.join(self._stages) or 'none'}.")
        return deepcopy(list(self._stages[method]))

    def train(self, members: Member | Sequence[Member], **asked: Unpack[Training]) -> TrainingResult:
        """Note what is asked for. Raises TypeError for what is no argument of a training."""
        if unknown := asked.keys() - Training.__annotations__.keys():
            raise TypeError(f"train() got an unexpected keyword argument '{min(unknown)}'")
        together = [members] if isinstance(members, Member) else list(members)
        self.trained.append({"members": together, **asked})
        return TrainingResult(1, self._answer(together, dict(asked)) if self._answer else 0.0, [])

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
        """The batches of an epoch, on one process; ``features`` float[V, M, D], ``labels`` int64[M]."""
        labels, random = self.train_split.labels if labels is None else labels, self.generator(f"{label} {epoch}")
        number = views if isinstance(views, int) else len(views)
        tables = [self.augment.config] * number if isinstance(views, int) else views
        for chosen in (sampler or InstanceSampler(len(labels))).indices(epoch, random).split(batch_size):
            if features is None:
                images = self.train_split.images[chosen]
                inputs = [self.augment.changed(table).train(images, random) for table in tables]
            else:
                inputs = [features[view, chosen] for view in torch.randint(len(features), (number,), generator=random)]
            yield _whole(inputs, labels[chosen], chosen)

    def features(self, backbone: Backbone, split: str, views: int = 1) -> Tensor:
        """float32[V, N, D], those that were given, or the backbone's. Raises LtbenchError where fewer views were given."""
        given, images = self._features[split], {"train": self.train_split, "val": self.val_split}[split].images
        if given is None:
            with torch.no_grad():
                return torch.stack([backbone.eval()(self.augment.plain(images))] * views)
        if views > len(given):
            raise LtbenchError(f"asked for {views} views of '{split}', but this context was given {len(given)}.")
        return given[:views]

    def generator(self, name: str) -> Generator:
        """The same stream for the same name."""
        return stream(0, "fake", name)

    def log(self, **metrics: Any) -> None:
        """Note the metrics."""
        self.logged.append(metrics)

    def progress(self, label: str, steps: int) -> AbstractContextManager[Callable[[], None]]:
        """Shows nothing."""
        return nullcontext(lambda: None)

    def rounds(self, label: str, total: int, keep: Kept) -> Iterator[Round]:
        """All rounds, or those that are left after an interruption. Raises KeyboardInterrupt, see ``interrupt_before``."""
        done, states = self._rounds.get(label, (0, {}))
        for name, state in states.items():
            keep[name].load_state_dict(state)
        for number in range(done, total):
            if number == self.interrupt_before:
                raise KeyboardInterrupt
            yield Round(number, self.logged.append)
            self._rounds[label] = number + 1, deepcopy({name: part.state_dict() for name, part in keep.items()})

    def artifact(self, name: str) -> Path | None:
        """The file in ``folder``."""
        return None if self._folder is None else self._folder / name


def _noise(labels: Tensor) -> TensorSplit:
    images = torch.randint(256, (len(labels), 1, SIDE, SIDE), generator=stream(0, "images", len(labels)))
    return TensorSplit(images.to(torch.uint8), labels)


def _whole(inputs: Sequence[Tensor], targets: Tensor, indices: Tensor, mixed: Mixed | None = None) -> Minibatch:
    """A batch on one process."""
    return Minibatch(tuple(inputs), targets, indices, torch.arange(len(targets)), len(targets), mixed)
