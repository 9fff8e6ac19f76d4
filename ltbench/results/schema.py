"""The parts of a record. Plain data with ranges; what they must agree on is checked by
:class:`ltbench.results.record.Record` and :mod:`ltbench.results.consistency`."""

from typing import Annotated, Any, Literal

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
Name = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_slug)]
"""Of a method, a fuser or a dataset: it becomes a part of names of files."""
Line = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_plain)]
"""A line of text that a terminal can show."""
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Positive = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
Percent = Annotated[float, Field(strict=True, ge=0, le=100)]
Seconds = Annotated[float, Field(strict=True, ge=0)]
Flag = Annotated[bool, Field(strict=True)]


class Part(BaseModel):
    """Unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatasetInfo(Part):
    """The data.

    ``train``, ``val``, ``test``: numbers of samples; ``train_counts``: training images of each class; ``skipped``: names of
    the samples of each split that were left out because they could not be read.
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
    """One classifier that was fused: ``name`` as in the logits (``experts/many``), ``num_classes`` that it covers."""

    name: Line
    method: Name
    num_classes: Positive
    outside: Literal["none", "reject", "zero"]


class Selection(Part):
    """On what the epoch and every fitted parameter were selected; ``unknown`` for models trained elsewhere."""

    split: Literal["val", "test", "unknown"]
    criterion: Line = "accuracy"


class Track(Part):
    """What must be equal for two rows to be ranked together, beside the data.

    Attributes:
        backbone: the timm model and what was changed in it.
        pretraining: the weights it started from; ``none`` from scratch.
        epochs: of the stage that every method starts from.
        augmentation: of the training images, in words or as a hash.
        resolution: pixels of the (square) input.
        storage: how images are kept where that changes their pixels; empty for the originals.
        precision: of training and inference: ``fp32``, ``bf16`` or ``fp16``.
        test_views: what of a test image is looked at; ``centre``: the one plain view.
        transductive: what is said of a sample may depend on other test samples; a method or the fuser declares it.
    """

    backbone: Line
    pretraining: Line
    epochs: Count
    augmentation: Line
    resolution: Positive
    storage: Annotated[str, StringConstraints(max_length=4000), AfterValidator(_plain)]
    precision: Literal["fp32", "bf16", "fp16"]
    test_views: Literal["centre"]
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


class StageInfo(Part):
    """A trained stage that the row rests on: its method, its key, the sha256 of its file of weights, and what it cost; None in
    records of before costs were counted, which say nothing of it and keep their content."""

    method: Name
    key: Sha256
    weights: Sha256
    cost: StageCost | None = None

    @model_serializer(mode="wrap")
    def _without_an_unknown_cost(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {key: value for key, value in values.items() if key != "cost" or value is not None}


class Calibration(Part):
    """Of the posterior on the test split.

    Attributes:
        ece: expected calibration error in percent (:func:`ltbench.results.metrics.calibration_error`).
        nll: mean negative log-likelihood in nats; None where it is infinite (a true class got probability 0).
    """

    ece: Percent
    nll: Annotated[float, Field(strict=True, ge=0)] | None


class Environment(Part):
    """Where it was computed. The two git fields are None where ltbench did not run from a git checkout.

    ``threads``: of torch, in each process; ``cpu``: the processor, and the instructions that torch uses of it;
    ``git_dirty``: the sources differed from the commit. ``plugins``: distribution -> version.
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
    """:func:`ltbench.results.record.logits_digest` of the members' logits and the labels of each split."""

    val: Sha256
    test: Sha256
