"""The parts of a record. Plain data; what they must agree on is checked by :class:`ltbench.results.record.Record`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatasetInfo(Part):
    """The data.

    ``train``, ``val``, ``test``: numbers of samples; ``train_counts``: training images of each class; ``skipped``: names of
    the samples of each split that were left out because they could not be read.
    """

    name: str
    fingerprint: Sha256
    num_classes: int = Field(ge=1)
    train_counts: tuple[int, ...]
    train: int
    val: int
    test: int = Field(ge=1)
    options: dict[str, Any] = {}
    skipped: dict[str, tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _counts(self) -> "DatasetInfo":
        if len(self.train_counts) != self.num_classes:
            raise ValueError(f"train_counts has {len(self.train_counts)} entries for {self.num_classes} classes")
        if sum(self.train_counts) != self.train:
            raise ValueError(f"train_counts sum to {sum(self.train_counts)} but train is {self.train}")
        return self


class MemberInfo(Part):
    """One classifier that was fused: ``name`` as in the logits (``experts/many``), ``num_classes`` that it covers."""

    name: str
    method: str
    num_classes: int = Field(ge=1)
    outside: Literal["none", "reject", "zero"]


class Selection(Part):
    """On what the epoch and every fitted parameter were selected; ``unknown`` for models trained elsewhere."""

    split: Literal["val", "test", "unknown"]
    criterion: str = "accuracy"


class Track(Part):
    """What must be equal for two rows to be ranked together, beside the data.

    Attributes:
        backbone: the timm model and what was changed in it.
        pretraining: the weights it started from; ``none`` from scratch.
        epochs: of the stage that every method starts from.
        augmentation: of the training images, in words or as a hash.
        resolution: pixels of the (square) input.
        transductive: what is said of a sample may depend on other test samples; a method or the fuser declares it.
    """

    backbone: str
    pretraining: str
    epochs: int = Field(ge=0)
    augmentation: str
    resolution: int = Field(ge=1)
    transductive: bool = False


class StageInfo(Part):
    """A trained stage that the row rests on, by its key."""

    method: str
    key: Sha256


class Calibration(Part):
    """Of the posterior on the test split.

    Attributes:
        ece: expected calibration error in percent (:func:`ltbench.metrics.calibration_error`).
        nll: mean negative log-likelihood in nats; None where it is infinite (a true class got probability 0).
    """

    ece: float = Field(ge=0, le=100)
    nll: float | None = Field(ge=0)


class Environment(Part):
    """Where it was computed. The two git fields are None where ltbench did not run from a git checkout.

    ``git_dirty``: the sources differed from the commit. ``plugins``: distribution -> version.
    """

    python: str
    torch: str
    timm: str
    ltbench: str
    platform: str
    device: str
    precision: str
    git_commit: str | None
    git_dirty: bool | None
    plugins: dict[str, str]


class LogitsDigests(Part):
    """:func:`ltbench.results.record.logits_digest` of the members' logits on each split."""

    val: Sha256
    test: Sha256
