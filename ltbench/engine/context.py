"""What a method sees while it is built and trained. No test split can be reached from here."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor

from ltbench.backbones.backbone import Backbone
from ltbench.common.files import unwritable
from ltbench.data.augmentation.augment import Augment
from ltbench.data.augmentation.augment_config import AugmentConfig, MixConfig
from ltbench.data.guard import no_test_split
from ltbench.data.samplers import EpochSampler, InstanceSampler
from ltbench.engine.evaluation.independence import FewSamples, check_members
from ltbench.engine.evaluation.inference import View, run_over
from ltbench.engine.fitting.augmentations import Augmentations
from ltbench.engine.fitting.feeding import Feed
from ltbench.engine.fitting.fitting import Fitting
from ltbench.engine.fitting.rounds import rounds
from ltbench.engine.fitting.spent import Spent
from ltbench.engine.fitting.trainee import repeated
from ltbench.engine.machine.loading import EpochBatches
from ltbench.engine.machine.seeding import global_stream, stream
from ltbench.engine.workbench import Workbench
from ltbench.errors import LtbenchError, PluginError
from ltbench.method import Member, Method, MethodConfig
from ltbench.registry.manager import plugin_code, plugins
from ltbench.training.request import Kept, Round, Training, TrainingResult
from ltbench.training.step import Minibatch

if TYPE_CHECKING:
    pass

TRIED = 2
"""Validation images on which :func:`confirm` compares."""

TOLERANCE = 1e-3
"""Largest difference it allows, relative to the largest logit: some operations of a GPU add in no fixed order."""


class StageContext:
    """The :class:`ltbench.method.MethodContext` of one stage.

    Args:
        name: of the method.
        workbench: shared by all stages.
        folder: of the stage in the making; None for one that is only rebuilt.
        required: method name -> how to get its trained members.

    Attributes:
        spent: what the trainings take.
    """

    def __init__(
        self, name: str, workbench: Workbench, folder: Path | None, required: Mapping[str, Callable[[], list[Member]]]
    ) -> None:
        self.name = name
        self.train_split, self.val_split, self.classes = workbench.train, workbench.val, workbench.classes
        self._workbench = workbench
        self._folder = folder
        self._required = required
        self._seen = None if folder is None else Augmentations(folder / "checkpoint", workbench.compute.is_main)
        self.spent = Spent()

    def new_backbone(self) -> Backbone:
        return self._workbench.new_backbone(self.name)

    def stage(self, method: str) -> list[Member]:
        if method not in self._required:
            known = ", ".join(self._required) or "none"
            raise LtbenchError(
                f"method '{self.name}' asks for the stage of '{method}' but its spec requires {known}: add it to requires=(...)."
            )
        return self._required[method]()

    def generator(self, name: str) -> torch.Generator:
        return stream(self._workbench.seed, self.name, name)

    def log(self, **metrics: Any) -> None:
        if self._folder is not None and self._workbench.compute.is_main:
            path = self._folder / "log.jsonl"
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(metrics) + "\n")
            except OSError as error:
                raise unwritable(path, error) from error

    def progress(self, label: str, steps: int) -> AbstractContextManager[Callable[[], None]]:
        return self._workbench.reporter.steps(f"{self.name} {label}", steps)

    def rounds(self, label: str, total: int, keep: Kept) -> Iterator[Round]:
        assert self._folder is not None, "a stage that is only rebuilt is not trained"
        folder = self._folder / "checkpoint"
        return rounds(self.log, self._workbench.compute, folder, label, total, keep, self.spent)

    def artifact(self, name: str) -> Path | None:
        assert self._folder is not None, "a stage that is only rebuilt leaves no files"
        if not self._workbench.compute.is_main:
            return None
        path = self._folder / "artifacts" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    def features(self, backbone: Backbone, split: str, views: int = 1) -> Tensor:
        splits = {"train": self.train_split, "val": self.val_split}
        if split not in splits:
            raise LtbenchError(
                f"method '{self.name}' asks for the features of '{split}'; a method can have those of 'train' and 'val' alone."
            )
        data = splits[split]
        self.spent.extracted += views * len(data) * (split == "train")
        return torch.stack([self._workbench.features.get(backbone, split, data, view) for view in range(views)])

    @property
    def device(self) -> torch.device:
        return self._workbench.compute.device

    @property
    def augment(self) -> Augment:
        return self._workbench.augment

    def train(self, members: Member | Sequence[Member], **asked: Unpack[Training]) -> TrainingResult:
        assert self._folder is not None, "a stage that is only rebuilt is not trained"
        together = [members] if isinstance(members, Member) else list(members)
        fitting = Fitting(self._workbench, self.name, self._folder, together, asked, self.spent)
        if fitting.optim.epochs:
            self._note(asked.get("views") or 1, asked.get("mixing"))
        result = fitting.run()
        for epoch, metrics in enumerate(result.history, 1):
            self.log(member=fitting.label, epoch=epoch, **metrics)
        return result

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
        bench, names = self._workbench, (self.name, label)
        labels = self.train_split.labels if labels is None else labels
        chosen = EpochBatches(sampler or InstanceSampler(len(labels)), batch_size, bench.compute, bench.seed, *names)
        self._note(views, None if isinstance(views, int) else MixConfig())
        feed = Feed(bench, names, chosen, MixConfig(), torch.arange(len(self.classes), device=self.device))
        if features is None:
            return self.spent.counted(feed.of_images(views)(epoch), of_images=True)
        number = views if isinstance(views, int) else len(views)
        return self.spent.counted(feed.of_features(features, labels, number)(epoch), of_images=False)

    def _note(self, views: int | Sequence[AugmentConfig], mixing: MixConfig | None) -> None:
        """A training of this stage; what a method does not ask for counts as the run's."""
        if self._seen is not None:
            run = self._workbench
            self._seen.note([run.augment.config] if isinstance(views, int) else views, mixing or run.mixing)

    @property
    def augmentations(self) -> list[str]:
        """:attr:`ltbench.engine.fitting.augmentations.Augmentations.found` of the trainings so far."""
        return self._seen.found if self._seen is not None else []


def rebuild(method: Method, context: StageContext, weights: Callable[[], Mapping[str, Tensor]]) -> list[Member]:
    """Members with the weights of a trained stage, in eval mode; ``weights`` reads them, as :func:`weights_of` names them.

    Raises:
        LtbenchError: ``build`` makes members that share other modules, or have other weights, than the stored ones.
    """
    members = build(method, context)
    stored, expected = weights(), weights_of(members)
    shapes = [{(name, value.shape) for name, value in tensors.items()} for tensors in (stored, expected)]
    if unlike := shapes[0] ^ shapes[1]:
        raise LtbenchError(
            f"method '{context.name}': built again, its members have other weights than were stored ('{min(unlike)[0]}')."
        )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(stored[name])
    for member in members:
        member.module.eval()
    return members


def confirm(name: str, trained: Sequence[Member], rebuilt: Sequence[Member], bench: Workbench) -> None:
    """Compare the members of method ``name`` as trained and as built again from their weights: those are what is evaluated.

    Raises:
        LtbenchError: they answer otherwise.
        PluginError: a member's logits for a sample depend on others, and the method's spec does not say so.
    """
    view, few = View(bench.augment, bench.image_size), torch.arange(min(TRIED, len(bench.val)))
    for one, other in zip(trained, rebuilt, strict=True):
        expected, found = (run_over(member.module, bench.val, bench.compute, view, few) for member in (one, other))
        if (found - expected).abs().max() > TOLERANCE * expected.abs().max():
            raise LtbenchError(
                f"method '{name}': member '{one.name}', built again with its stored weights, answers otherwise than after its "
                "training. Keep all that it learns in parameters or buffers of its module."
            )
    if not plugins().methods.get(name).spec.transductive:
        check_members(name, rebuilt, FewSamples("val", bench.val, bench.features))


def make_method(name: str, config: MethodConfig) -> Method:
    """The method of that name. Raises PluginError when its constructor fails."""
    cls: type[Method] = plugins().methods.load(name)
    with plugin_code("method", name, "its constructor"):
        return cls(config)


def check_built(name: str, members: Sequence[Member]) -> None:
    """Refuse untrained members of method ``name`` that could not be evaluated, so that they are not trained first.

    Raises:
        PluginError: a head fails, or has another width than its classes ask for; or the members make no posterior by
            themselves, and the method's spec does not say so.
    """
    try_heads(name, members)
    partial = [member.name for member in members if member.outside != "none"] or [m.name for m in members[1:]]
    if partial and not plugins().methods.get(name).spec.partial:
        raise PluginError(
            f"method '{name}' builds members {', '.join(member.name for member in members)}, which are no classifier over all "
            "classes until they are fused; its spec must say MethodSpec(partial=True)."
        )


def build(method: Method, context: StageContext) -> list[Member]:
    """The method's untrained members.

    Raises:
        LtbenchError: names or class ids that cannot be right.
        PluginError: ``build`` failed, or opened a test split.
    """
    with _running(context, "build", f"method '{context.name}' is built"):
        members = method.build(context)
    names = [member.name for member in members]
    if not members or len(set(names)) < len(names):
        raise LtbenchError(
            f"method '{context.name}' built members {names}: at least one, each with a name of its own, is needed."
        )
    for member in members:
        context._workbench.compute.place(member.module)
    return members


def fit(method: Method, context: StageContext, members: list[Member]) -> None:
    """Train the members in place. Raises PluginError where ``fit``, its loss or its sampler failed or opened a test split."""
    with _running(context, "fit", f"method '{context.name}' is trained"):
        method.fit(context, members)


@contextmanager
def _running(context: StageContext, step: str, doing: str) -> Iterator[None]:
    """Around a method's own code: its random stream, its failures in its name, and no test split."""
    seed = context._workbench.seed
    with plugin_code("method", context.name, step), global_stream(seed, context.name, step), no_test_split(doing):
        yield


@torch.no_grad()
def try_heads(name: str, members: Sequence[Member]) -> None:
    """Let each member's head answer on blank features: a width that is wrong shows before the training of method ``name``.

    Raises:
        PluginError: a head fails, or does not answer one logit for each class (and one more with ``outside = "reject"``).
    """
    for member in members:
        example = next(member.module.parameters(), torch.empty(0))
        blank = torch.zeros(2, member.backbone.num_features, device=example.device)
        modes = [(module, module.training) for module in member.head.modules()]
        with plugin_code("method", name, f"the head of member '{member.name}'"):
            shape = tuple(member.head.eval()(blank).shape)
        for module, training in modes:
            module.training = training
        if shape != (2, member.width):
            covered = f"{len(member.classes)} classes" + (" and 'reject'" if member.outside == "reject" else "")
            raise PluginError(
                f"method '{name}': the head of member '{member.name}' answers logits of shape {shape} to 2 samples; "
                f"(2, {member.width}) was expected, for {covered}."
            )


def weights_of(members: Sequence[Member]) -> dict[str, Tensor]:
    """Weights of all members as they are stored: ``<member>.backbone...`` and ``<member>.head...``. What several members share
    stands under the first one's name."""
    named = {f"{member.name}.{key}": value for member in members for key, value in member.module.state_dict().items()}
    again = set(repeated(named))
    return {name: value for name, value in named.items() if name not in again}
