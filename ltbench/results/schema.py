"""The parts of a record (:class:`ltbench.Record`). Plain data with ranges."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from ltbench.common.escaping import is_plain
from ltbench.common.names import RULE, is_qualified_name
from ltbench.data.augmentation.views import TestViews

__all__ = [
    "Calibration",
    "Count",
    "DatasetInfo",
    "Environment",
    "Flag",
    "Line",
    "LogitsDigests",
    "MemberInfo",
    "Name",
    "Percent",
    "Positive",
    "Seconds",
    "Selection",
    "Sha256",
    "StageCost",
    "StageInfo",
    "Track",
]

LARGEST = 2**63 - 1


def _slug(text: str) -> str:
    if not is_qualified_name(text):
        raise ValueError(f"no name: use {RULE}")
    return text


def _plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError("holds a line break, a control character or one that changes the direction of text")
    return text


Sha256 = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
"""64 hexadecimal digits."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_slug)]
"""Of a method, a fuser or a dataset: it becomes a part of names of files."""
Line = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_plain)]
"""A line of text that a terminal can show."""
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
"""An integer of at least 0."""
Positive = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
"""An integer of at least 1."""
Percent = Annotated[float, Field(strict=True, ge=0, le=100)]
"""A number from 0 to 100."""
Seconds = Annotated[float, Field(strict=True, ge=0)]
"""A number of at least 0."""
Flag = Annotated[bool, Field(strict=True)]
"""True or false."""


class Part(BaseModel):
    """Unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LaterPart(Part):
    """Fields that came after records of this version are None where nothing was said, and left out then: what was written
    before reads, and has the hash, that it had."""

    _later: ClassVar[tuple[str, ...]]

    @model_serializer(mode="wrap")
    def _without_unsaid(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None or name not in self._later}


class DatasetInfo(Part):
    """The data.

    Attributes:
        name: of the dataset.
        fingerprint: sha256 of the content that decides results.
        num_classes: C.
        train_counts: C numbers, training images of each class.
        train: number of samples.
        val: number of samples.
        test: number of samples.
        options: the dataset's own.
        skipped: names of the samples of each split that were left out because they could not be read.
    """

    name: Name
    fingerprint: Sha256
    num_classes: Positive
    train_counts: tuple[Count, ...]
    train: Count
    val: Count
    test: Positive
    options: dict[str, Any]
    skipped: dict[Literal["train", "val", "test"], tuple[str, ...]]

    @model_validator(mode="after")
    def _counts(self) -> "DatasetInfo":
        if len(self.train_counts) != self.num_classes:
            raise ValueError(f"train_counts has {len(self.train_counts)} entries for {self.num_classes} classes")
        if sum(self.train_counts) != self.train:
            raise ValueError(f"train_counts sum to {sum(self.train_counts)} but train is {self.train}")
        return self


class MemberInfo(Part):
    """One classifier that was fused.

    Attributes:
        name: as in the logits (``experts/many``).
        method: that trained it.
        num_classes: that it covers.
        outside: what it says about the others, see :mod:`ltbench.members`.
    """

    name: Line
    method: Name
    num_classes: Positive
    outside: Literal["none", "reject", "zero"]


class Selection(Part):
    """On what the epoch and every fitted parameter were selected.

    Attributes:
        split: ``unknown`` for models trained elsewhere.
        criterion: of the selection.
    """

    split: Literal["val", "test", "unknown"]
    criterion: Line = "accuracy"


class Track(Part):
    """What must be equal for two rows to be ranked together, beside the data.

    Attributes:
        backbone: the timm model and what was changed in it.
        pretraining: the weights it started from; ``none`` from scratch.
        epochs: of the stage that every method starts from.
        augmentation: of the training images, in words: each that a training of a stage of the row had, separated by semicolons.
        resolution: pixels of the (square) input.
        storage: how images are kept where that changes their pixels; empty for the originals.
        precision: of training and inference: ``fp32``, ``bf16`` or ``fp16``.
        test_views: what of a test image is looked at (:mod:`ltbench.data.augmentation.views`); ``centre``: the one plain view.
        transductive: what is said of a sample may depend on other test samples; a method or the fuser declares it.
    """

    backbone: Line
    pretraining: Line
    epochs: Count
    augmentation: Line
    resolution: Positive
    storage: Annotated[str, StringConstraints(max_length=4000), AfterValidator(_plain)]
    precision: Literal["fp32", "bf16", "fp16"]
    test_views: TestViews
    transductive: Flag


class StageCost(Part):
    """What a stage takes. It decides no number.

    Attributes:
        device: that it was trained on: ``cpu``, ``cuda`` or ``mps``.
        seconds: that the devices of all processes worked for it, killed attempts that it goes on from included: on a CPU
            processor time, elsewhere the time that passed.
        images: samples times views that were trained on as images, over all epochs.
        features: the same of stored features.
        extracted: training images times views whose features were asked for, whoever computed them first.
        learned: parameters that learned, those of what helped to train the members among them.
        parameters: of the members; what they share once.
        multiply_adds: of one evaluation of an image by all members; what they share once.
    """

    device: Literal["cpu", "cuda", "mps"]
    seconds: Seconds
    images: Count
    features: Count
    extracted: Count
    learned: Count
    parameters: Count
    multiply_adds: Count


class StageInfo(LaterPart):
    """A trained stage that the row rests on.

    Attributes:
        method: that was trained.
        key: sha256 of everything that decides the outcome.
        weights: sha256 of its file of weights.
        augmentation: what its trainings did to images, in words, each once, where a method asked for more or other than the
            run's; None: the run's alone.
        cost: what it took; None in records of before costs were counted.
    """

    _later: ClassVar[tuple[str, ...]] = ("augmentation", "cost")

    method: Name
    key: Sha256
    weights: Sha256
    augmentation: Annotated[tuple[Line, ...], Field(min_length=1)] | None = None
    cost: StageCost | None = None


class Calibration(Part):
    """Of the posterior on the test split.

    Attributes:
        ece: expected calibration error in percent, over 15 bins of equal width (Guo et al. 2017, Eq. 3).
        nll: mean negative log-likelihood in nats; None where it is infinite (a true class got probability 0).
    """

    ece: Percent
    nll: Annotated[float, Field(strict=True, ge=0)] | None


class Environment(Part):
    """Where it was computed.

    Attributes:
        python: its version.
        torch: its version.
        timm: its version.
        ltbench: its version.
        platform: operating system and machine.
        device: that computed.
        cpu: the processor, and the instructions that torch uses of it.
        threads: of torch, in each process.
        precision: of training and inference.
        git_commit: of the sources; None where ltbench did not run from a git checkout.
        git_dirty: the sources differed from the commit; None as ``git_commit``.
        plugins: distribution -> version.
    """

    python: Line
    torch: Line
    timm: Line
    ltbench: Line
    platform: Line
    device: Line
    cpu: Line
    threads: Positive
    precision: Line
    git_commit: Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{40,64}\z")] | None
    git_dirty: Flag | None
    plugins: dict[Line, Annotated[str, StringConstraints(max_length=4000), AfterValidator(_plain)]]


class LogitsDigests(Part):
    """sha256 of what each split says: the members' logits as little-endian float32, by name, and the labels.

    Attributes:
        val: of the validation split.
        test: of the test split.
    """

    val: Sha256
    test: Sha256
