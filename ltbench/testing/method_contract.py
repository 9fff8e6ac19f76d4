"""The contract of a method, checked: it is built, trained for an epoch or two on drawn patterns, and rebuilt.

See :func:`check_method`, which plugin authors import from :mod:`ltbench.testing`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from ltbench.backbones.backbone import Backbone
from ltbench.classes import classes_of
from ltbench.common.sealed_tensors import read_tensors, write_tensors
from ltbench.config import BackboneConfig, ComputeConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.base import Dataset, TensorSplit
from ltbench.engine.context import StageContext, build, fit, rebuild, weights_of
from ltbench.engine.evaluation.independence import FewSamples, check_members
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.workbench import Workbench
from ltbench.errors import LtbenchError, PluginError
from ltbench.method import Member, Method, MethodConfig
from ltbench.registry.lookup import is_transductive
from ltbench.registry.manager import plugins
from ltbench.settings.recipe_files import requirements
from ltbench.testing.contract_watch import Stopped, WatchedContext, every_epoch_kept
from ltbench.training.optim import OptimConfig

EPOCHS, BATCH_SIZE = 2, 16
"""What every training is cut to where the author gives no configuration."""

BACKBONE = BackboneConfig(
    name="resnet10", kwargs={"widths": [16, 16, 16, 32], "stem_kernel": 3, "stem_stride": 2, "max_pool": False}
)


class Patterns(Dataset):
    """Six random patterns under noise, 16 x 16 grey pixels; two classes in each fold of the rule ``paper``."""

    name = "patterns"
    image_shape = (1, 16, 16)
    class_names: Sequence[str] = ("zero", "one", "two", "three", "four", "five")  # type: ignore[assignment]
    COUNTS: Mapping[str, Sequence[int]] = {"train": (120, 100, 50, 30, 12, 6), "val": (8,) * 6, "test": (9,) * 6}

    def split(self, name: str) -> TensorSplit:
        prototypes = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(6).repeat_interleave(torch.tensor(self.COUNTS[name]))
        noise = torch.rand(len(labels), 1, 16, 16, generator=torch.Generator().manual_seed(len(labels)))
        return TensorSplit((255 * (0.4 * prototypes[labels] + 0.6 * noise)).to(torch.uint8), labels)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def check_method(
    method: type[Method] | str,
    config: MethodConfig | None = None,
    *,
    backbone: Mapping[str, Any] | None = None,
    required: Mapping[str, MethodConfig] | None = None,
) -> None:
    """Check what every method promises, by training it for a few steps on drawn patterns.

    - Members have distinct names, ascending class ids, an ``outside`` that agrees with them and logits of the right width.
    - Training changes every member, leaves finite weights, leaves the data and what ``build`` froze as they were, and opens no
      test split.
    - What it learned lies in the members: built again and given the stored weights, they answer the same.
    - What they answer for an image does not depend on the other images of its batch, unless the method is registered with
      ``transductive=True``.
    - Its loss, objective or update does not depend on the places of the samples in a batch: two views of an image that stand
      side by side are dealt to different processes. (One that random numbers decide is not asked.)
    - A training that is stopped, and gone on with by another object of the class, leaves the same weights as one that is not.
      Where neither goes by epochs or rounds, training twice with one seed does.

    The methods that it requires are trained first.

    Args:
        method: its class, or its name. What it requires is known of registered ones only.
        config: hyperparameters; by default the class's own, each :class:`~ltbench.training.optim.OptimConfig` in them cut to 2
            epochs.
        backbone: the table ``[backbone]`` of a run, for a method that is made for some networks alone, say
            ``{"name": "vit_tiny_patch16_224", "kwargs": {"img_size": 16}}``; by default a narrow ResNet-10. Images are grey,
            16 x 16 pixels.
        required: hyperparameters of methods that it requires, by name; by default as for ``config``.

    Raises:
        AssertionError: one line that says which promise is broken, and by which member.
    """
    name, cls = _found(method)
    with TemporaryDirectory() as folder, every_epoch_kept():
        bench = workbench(Path(folder), BACKBONE if backbone is None else BackboneConfig.model_validate(dict(backbone)))
        make = partial(cls, config if config is not None else shortened(cls.Config()))
        stages = _train_required(name, bench, Path(folder), required or {}) if name else {}
        trial = _Trial(cls.__name__, make, partial(_context, name or cls.__name__, bench, stages), Path(folder))
        trial.check(is_transductive(plugins().methods, cls))


@dataclass
class _Trial:
    """A method under test.

    Attributes:
        name: what complaints call it.
        make: a new object of its class.
        context: folder, and when to stop -> a context.
        folder: for what it leaves.
    """

    name: str
    make: Callable[[], Method]
    context: Callable[..., WatchedContext]
    folder: Path

    def check(self, transductive: bool) -> None:
        first, method = self.context(self.folder / "first"), self.make()
        members, before = _build(method, first)
        data = _data_of(first)
        _check_members(members, self.name, len(first.classes))
        _check_declared(self.name, members, type(method))

        trained = _fit(self.make(), first, members)
        self._check_weights(members, before, trained)
        changed = [key for key, value in _data_of(first).items() if not torch.equal(value, data[key])]
        assert not changed, f"{self.name}: fit changes the data ({', '.join(changed)})"
        moved = first.moved()
        assert not moved, f"{self.name}: fit changes what build froze ({len(moved)} tensors, '{moved[0]}' first)"
        assert not first.findings, f"{self.name}: {first.findings[0]}"

        again = rebuild(self.make(), self.context(None), _stored(trained, self.folder / "weights.safetensors"))
        images = _images(first)
        for member, rebuilt in zip(members, again, strict=True):
            same = torch.equal(_logits(member, images), _logits(rebuilt, images))
            assert same, (
                f"{self.name}, member '{member.name}': built again and given the stored weights, it answers differently"
            )
        if not transductive:
            _check_independence(first.name, again, first._workbench)
        self._check_repeated(first, trained)

    def _check_weights(
        self, members: Sequence[Member], before: Mapping[str, Tensor], trained: Mapping[str, Tensor]
    ) -> None:
        for member in members:
            own = {key: value for key, value in trained.items() if key.startswith(f"{member.name}.")}
            where = f"{self.name}, member '{member.name}'"
            assert any(not torch.equal(value, before[key]) for key, value in own.items()), (
                f"{where}: fit changes no weight"
            )
            for key, value in own.items():
                assert torch.isfinite(value).all(), f"{where}: '{key}' is not finite after fit"

    def _check_repeated(self, first: WatchedContext, trained: Mapping[str, Tensor]) -> None:
        """Trained again, and stopped at the last of its epochs and rounds, it goes the same way."""
        folder = self.folder / "second"
        if first.events:
            with suppress(Stopped):
                self._trained(self.context(folder, first.events))
        other = self._otherwise(self.context(folder), first, trained)
        if not other:
            return
        repeated = self._otherwise(self.context(self.folder / "third"), first, trained)
        assert not repeated, f"{self.name}: training twice with one seed gives two sets of weights ({repeated})"
        raise AssertionError(
            f"{self.name}: stopped and gone on with by a new process, its training ends otherwise ({other}). What it keeps from "
            "step to step belongs into the members, or into keep=, and what is random is drawn from context.generator(...)"
        )

    def _otherwise(self, context: WatchedContext, first: WatchedContext, trained: Mapping[str, Tensor]) -> str:
        """What is not as in the first training: weights, or, where an earlier epoch was selected, what the epochs say."""
        weights = self._trained(context)
        unlike = [f"'{key}' differs" for key, value in trained.items() if not torch.equal(weights[key], value)]
        if context.history != first.history:
            unlike.append("the losses of its epochs differ")
        return next(iter(unlike), "")

    def _trained(self, context: WatchedContext) -> dict[str, Tensor]:
        return _fit(self.make(), context, _build(self.make(), context)[0])


@contextmanager
def broken_promise(kind: type[LtbenchError] = PluginError) -> Iterator[None]:
    """An error of this kind, which the engine would end a run with, as what the suite raises."""
    try:
        yield
    except kind as error:
        raise AssertionError(str(error)) from error


def _check_members(members: Sequence[Member], name: str, num_classes: int) -> None:
    for member in members:
        where = f"{name}, member '{member.name}'"
        assert isinstance(member.backbone, Backbone), f"{where}: its backbone is no ltbench.backbones.backbone.Backbone"
        classes = member.classes
        is_ids = isinstance(classes, Tensor) and classes.dtype == torch.int64 and classes.ndim == 1 and len(classes) > 0
        assert is_ids, f"{where}: classes must be int64[K]"
        ascending = bool((classes.diff() > 0).all()) and int(classes[0]) >= 0 and int(classes[-1]) < num_classes
        assert ascending, f"{where}: classes must be ascending ids from 0 to {num_classes - 1}, got {classes.tolist()}"
        allowed = ("none",) if len(classes) == num_classes else ("reject", "zero")
        covered = f"a member over {len(classes)} of {num_classes} classes"
        assert member.outside in allowed, (
            f"{where}: {covered} says outside = {' or '.join(allowed)}, not {member.outside!r}"
        )
        logits = _logits(member, torch.zeros(2, *Patterns.image_shape))
        assert logits.shape == (2, member.width), (
            f"{where}: logits have shape {tuple(logits.shape)}, not (2, {member.width})"
        )


def _check_declared(name: str, members: Sequence[Member], cls: type[Method]) -> None:
    """What the method's spec says of its members; one that no plugin registers says nothing."""
    alone = len(members) == 1 and members[0].outside == "none"
    for entry in plugins().methods.entries_of(cls):
        assert alone or entry.spec.partial, (
            f"{name}: members {', '.join(member.name for member in members)} must be fused; its spec must say "
            "MethodSpec(partial=True)"
        )
        assert not (alone and entry.spec.partial), (
            f"{name}: its spec says partial=True, but its one member covers every class"
        )


def _check_independence(name: str, members: Sequence[Member], bench: Workbench) -> None:
    """As the engine does on the logits that it stores."""
    logits, few = bench.features.logits(members, "val", bench.val), FewSamples("val", bench.val, bench.features)
    with broken_promise():
        check_members(name, members, few, [values[few.chosen] for values in logits])


def _build(method: Method, context: WatchedContext) -> tuple[list[Member], dict[str, Tensor]]:
    """The untrained members and a copy of their weights. Raises AssertionError for names that cannot be right."""
    with broken_promise(LtbenchError):
        members = build(method, context)
    return members, {key: value.detach().clone() for key, value in weights_of(members).items()}


def _fit(method: Method, context: WatchedContext, members: list[Member]) -> dict[str, Tensor]:
    """Trains the members; returns their weights. Raises AssertionError when the method opens a test split."""
    context.watch(method, members)
    with broken_promise():
        fit(method, context, members)
    return weights_of(members)


@torch.inference_mode()
def _logits(member: Member, images: Tensor) -> Tensor:
    return member.module.eval()(images.to(next(member.module.parameters()).device)).float()


def _images(context: StageContext) -> Tensor:
    return context._workbench.augment.plain(context.val_split.__getitems__(range(len(context.val_split))).images)


def _data_of(context: StageContext) -> dict[str, Tensor]:
    """Copies of what a method could spoil."""
    held = {"training counts": context.classes.train_counts.clone()}
    for name, split in (("training", context.train_split), ("validation", context.val_split)):
        batch = split.__getitems__(range(len(split)))
        held |= {f"{name} images": batch.images, f"{name} labels": batch.labels}
    return held


def _found(method: type[Method] | str) -> tuple[str, type[Method]]:
    """The name that a method is registered by (empty: by none) and its class."""
    registry = plugins().methods
    if isinstance(method, str):
        return method, registry.load(method)
    target = f"{method.__module__}:{method.__qualname__}"
    return next((registry.name_of(entry) for entry in registry.entries() if entry.spec.target == target), ""), method


def _train_required(
    name: str, bench: Workbench, folder: Path, configs: Mapping[str, MethodConfig]
) -> dict[str, Callable[[], list[Member]]]:
    """Trains what a method requires; how to get each one's members."""
    ready: dict[str, Callable[[], list[Member]]] = {}
    for asked, other in requirements(name).items():
        cls: type[Method] = plugins().methods.load(other)
        method = cls(configs[other] if other in configs else shortened(cls.Config()))
        further = _train_required(other, bench, folder, configs)
        context = _context(other, bench, further, folder / other.replace(":", "."))
        weights = folder / other.replace(":", ".") / "weights.safetensors"
        stored = _stored(_fit(method, context, build(method, context)), weights)
        ready[asked] = partial(rebuild, method, _context(other, bench, further, None), stored)
    return ready


def _stored(weights: Mapping[str, Tensor], path: Path) -> Callable[[], Mapping[str, Tensor]]:
    """Write weights as those of a stage are; what reads them."""
    write_tensors(path, weights, path.parent.name)
    return lambda: read_tensors(path, path.parent.name).tensors


def _context(
    name: str,
    bench: Workbench,
    required: Mapping[str, Callable[[], list[Member]]],
    folder: Path | None,
    stop_at: int | None = None,
) -> WatchedContext:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return WatchedContext(name, bench, folder, required, stop_at)


def shortened(config: Any) -> Any:
    """The configuration with every OptimConfig in it cut to :data:`EPOCHS` epochs of small batches."""
    if isinstance(config, OptimConfig):
        short = {"epochs": min(config.epochs, EPOCHS), "batch_size": min(config.batch_size, BATCH_SIZE), "min_steps": 0}
        return config.model_copy(update=short)
    if isinstance(config, BaseModel):
        return config.model_copy(update={key: shortened(getattr(config, key)) for key in type(config).model_fields})
    return config


def workbench(folder: Path, backbone: BackboneConfig = BACKBONE) -> Workbench:
    """What the methods are trained on: :class:`Patterns` and a narrow ResNet-10 on the CPU, seed 0; features in ``folder``."""
    dataset = Patterns()
    compute = Compute(ComputeConfig(device="cpu", precision="fp32"))
    augment = Augment(AugmentConfig(shift=1), dataset.mean, dataset.std)
    reporter = Reporter(quiet=True)
    return Workbench(
        train=dataset.split("train"),
        val=dataset.split("val"),
        classes=classes_of(torch.as_tensor(dataset.train_counts), names=dataset.class_names),
        image_shape=dataset.image_shape,
        backbone=backbone,
        augment=augment,
        mixing=MixConfig(),
        compute=compute,
        features=FeatureStore(
            folder / "features",
            augment,
            dataset.image_shape[-1],
            compute,
            0,
            reporter,
            dataset.fingerprint,
            dataset.fingerprint,
        ),
        seed=0,
        reporter=reporter,
        after_epoch=lambda stage, epoch, metrics: None,
    )
