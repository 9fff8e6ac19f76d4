"""The record: what one row of one seed leaves behind, small enough for git and sufficient to recompute its numbers.

The engine makes one with :func:`make_record`, from plain arrays in test order::

    record = make_record(
        dataset=DatasetInfo(name="glyphs-lt", fingerprint=..., num_classes=100, train_counts=..., train=10899, ...),
        methods=["experts"],  fuser="joint",  role="run",         # fuser "none": a single full member as it is
        members=[MemberInfo(name="experts/many", method="experts", num_classes=35, outside="reject"), ...],
        config=row_config(resolved.config.model_dump(mode="json"), ["experts"], resolved.order, "joint"),
        seed=0,  num_processes=1,  selection=Selection(split="val"),  fold_rule="paper",
        correct=predictions == labels,  labels=labels,            # bool[N], int64[N]
        ece=3.1,  nll=1.9,                                        # percent, nats
        timings={"baseline": 41.2, "joint": 0.8},                 # seconds
        stages=[StageInfo(method="baseline", key=..., weights=...), ...],
        track=Track(**track_of(config, "baseline", ...)),         # ltbench.results.track
        environment=environment(device="cpu", precision="fp32"),  # ltbench.engine.provenance
        logits_sha256={"val": logits_digest(val, labels), ...},
        fitted_on=fuser.fitted_on,  fuser_state=fuser.state(),
        analyses={"oracle": {"accuracy": ...}},                   # beside the row, never ranked; {} where there is none
        notes=[],
    )

Samples are stored sorted by class (stably, so those of one class keep their test order): the labels then follow from
the per-class totals, and a class-stratified paired test needs nothing but two records.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from ltbench.common.canonical import canonical_json, digest, plain
from ltbench.data.folds import FOLD_RULES
from ltbench.results.schema import (
    Calibration,
    Count,
    DatasetInfo,
    Environment,
    LaterPart,
    Line,
    LogitsDigests,
    MemberInfo,
    Name,
    Percent,
    Positive,
    Seconds,
    Selection,
    Sha256,
    StageInfo,
    Track,
)
from ltbench.statistics.metrics import accuracy_from_counts, class_counts

Role = Literal["run", "reference", "control"]
"""Why a posterior is measured: it was asked for; a method that others start from, alone; what an ensemble has to beat."""

SCHEMA_VERSION: Literal[2] = 2
"""Raised when a record of before cannot be read any more."""

_TOLERANCE = 1e-3
"""Percentage points by which a stated accuracy may differ from the counts; 4 digits are stored."""

_LONGEST_LIST = 2000
"""Numbers of one list in a fuser's state; of a longer one a record keeps the sha256."""


_LATER = {("evaluation", "views"): "centre", ("compute", "compile"): False}
"""Settings that came after records of this version: at these values they say nothing, and are left out, so that a row of
before and one of today are one."""


def _this_version(found: Any) -> Any:
    if found == SCHEMA_VERSION or isinstance(found, bool) or not isinstance(found, int):
        return found
    raise ValueError(
        f"a record of version {found}, this ltbench reads version {SCHEMA_VERSION}: make it again with 'ltbench run'"
    )


class Record(LaterPart):
    """One row of one seed, measured by this harness. Contradictory content is refused.

    Attributes:
        schema_version: of what is stored; raised when a record of before cannot be read any more.
        source: measured by this harness, not reported by a paper.
        dataset: the data, with its fingerprint.
        methods: whose members were fused.
        fuser: how; ``none``: a single full member as it is.
        members: the classifiers that were fused.
        seed: of everything random.
        num_processes: on which it was trained.
        selection: on what epochs and fitted parameters were selected.
        calibration: of the posterior on the test split.
        stages: the trained methods that it rests on.
        track: what must be equal for two rows to be ranked together.
        environment: where it was computed.
        logits_sha256: digests of the logits and labels that it was computed from.
        created: when, with the time zone.
        notes: remarks, a line each.
        role: ``run``: what was asked for, or a method of it alone; ``reference``: a method alone that others start from or
            have to beat; ``control``: such a one calibrated, or a method that stands beside one as its control.
        config: the resolved settings of this row alone.
        config_hash: sha256 (hex) of ``config`` without the seed and without where images and lists lie.
        fold_rule: the rule of the run.
        metrics: under every rule: rule -> fold -> top-1 accuracy in percent.
        per_class_correct: C counts of test samples that were classified correctly.
        per_class_total: C counts of test samples.
        correct_bits: base64 of ``np.packbits`` of one bit per test sample, samples sorted by class.
        timings: seconds by stage or step.
        fuser_state: what the fuser learned.
        fitted_on: from what it learned: nothing or validation; None in records of before that was said.
        analyses: what was looked at beside the posterior and is never ranked, e.g. the oracle's upper bound, by name.
    """

    _later: ClassVar[tuple[str, ...]] = ("fitted_on",)

    schema_version: Annotated[Literal[2], BeforeValidator(_this_version)]
    source: Literal["measured"]
    dataset: DatasetInfo
    methods: tuple[Name, ...] = Field(min_length=1)
    fuser: Name
    role: Role
    members: tuple[MemberInfo, ...] = Field(min_length=1)
    config: dict[str, Any]
    config_hash: Sha256
    seed: Count
    num_processes: Positive
    selection: Selection
    fold_rule: str
    metrics: dict[str, dict[str, Percent]]
    calibration: Calibration
    per_class_correct: tuple[Count, ...]
    per_class_total: tuple[Count, ...]
    correct_bits: str
    timings: dict[str, Seconds]
    stages: tuple[StageInfo, ...] = Field(min_length=1)
    track: Track
    environment: Environment
    logits_sha256: LogitsDigests
    created: AwareDatetime
    fuser_state: dict[str, Any]
    analyses: dict[str, Any]
    notes: tuple[Line, ...]
    fitted_on: Literal["nothing", "val"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Record":
        right, total = np.asarray(self.per_class_correct), np.asarray(self.per_class_total)
        self._check_counts(right, total)
        if absent := [rule for rule in FOLD_RULES if rule not in self.metrics]:
            raise ValueError(f"metrics lack the fold rule '{absent[0]}'")
        if self.fold_rule not in FOLD_RULES:
            raise ValueError(f"the record's own fold rule '{self.fold_rule}' is unknown")
        train_counts = np.asarray(self.dataset.train_counts)
        for rule, stated in self.metrics.items():
            if rule not in FOLD_RULES:
                raise ValueError(f"metrics under the unknown fold rule '{rule}'")
            _check_metrics(rule, stated, accuracy_from_counts(right, total, train_counts, rule))
        if self.config_hash != config_hash(self.config):
            raise ValueError("config_hash is not the hash of config")
        canonical_json([self.fuser_state, self.analyses])  # refuses NaN and infinities
        return self

    def _check_counts(self, right: np.ndarray, total: np.ndarray) -> None:
        if not len(right) == len(total) == self.dataset.num_classes:
            raise ValueError(f"{len(right)} and {len(total)} per-class counts for {self.dataset.num_classes} classes")
        if total.sum() != self.dataset.test:
            raise ValueError(f"per_class_total sums to {total.sum()}, the test split has {self.dataset.test} samples")
        present, counted = np.flatnonzero(total), np.zeros_like(total)
        starts = (np.cumsum(total) - total)[present]
        counted[present] = np.add.reduceat(self.correct(), starts, dtype=np.int64)  # samples are sorted by class
        if (counted != right).any():
            odd = int(np.flatnonzero(counted != right)[0])
            raise ValueError(f"per_class_correct says {right[odd]} of class {odd}, correct_bits say {counted[odd]}")

    @property
    def name(self) -> str:
        """``<methods joined by +>--<fuser>--s<seed>--<8 digits of config_hash>``; the file's name, too."""
        return f"{'+'.join(self.methods)}--{self.fuser}--s{self.seed}--{self.config_hash[:8]}".replace(":", ".")

    def correct(self) -> np.ndarray:
        """bool[N], whether each test sample was classified correctly; sorted by class. ValueError: malformed bits."""
        try:
            packed = np.frombuffer(base64.b64decode(self.correct_bits, validate=True), dtype=np.uint8)
        except binascii.Error as error:
            raise ValueError(f"correct_bits is not base64: {error}") from error
        bits = np.unpackbits(packed)
        if len(packed) != math.ceil(self.dataset.test / 8) or bits[self.dataset.test :].any():
            raise ValueError(f"correct_bits does not hold {self.dataset.test} bits")
        return bits[: self.dataset.test].view(bool)

    def labels(self) -> np.ndarray:
        """int64[N], the class of each sample of :meth:`correct`: ascending."""
        return np.repeat(np.arange(len(self.per_class_total)), self.per_class_total)

    def accuracy(self, rule: str) -> dict[str, float]:
        """Percent right on each fold that has test samples and on ``all``. Raises UsageError for an unknown rule."""
        return accuracy_from_counts(self.per_class_correct, self.per_class_total, self.dataset.train_counts, rule)


def _check_metrics(rule: str, stated: Mapping[str, float], counted: Mapping[str, float]) -> None:
    if stated.keys() != counted.keys():
        raise ValueError(f"metrics.{rule} has {', '.join(stated) or 'nothing'}; the counts give {', '.join(counted)}")
    for fold, value in counted.items():
        if abs(stated[fold] - value) > _TOLERANCE:
            raise ValueError(f"metrics.{rule}.{fold} is {stated[fold]:.4f}, the counts give {value:.4f}")


def make_record(
    *,
    dataset: DatasetInfo,
    methods: Sequence[str],
    fuser: str,
    role: Role,
    members: Sequence[MemberInfo],
    config: Mapping[str, Any],
    seed: int,
    num_processes: int,
    selection: Selection,
    fold_rule: str,
    correct: np.ndarray,
    labels: np.ndarray,
    ece: float,
    nll: float,
    timings: Mapping[str, float],
    stages: Sequence[StageInfo],
    track: Track,
    environment: Environment,
    logits_sha256: Mapping[str, str],
    fuser_state: Mapping[str, Any],
    fitted_on: Literal["nothing", "val"] | None = None,
    analyses: Mapping[str, Any],
    notes: Sequence[str],
) -> Record:
    """A record from ``correct`` bool[N] and ``labels`` int64[N] in test order; for the others see the module's text.

    Raises:
        ValueError: lengths differ or parts contradict each other (pydantic's ValidationError is one).
    """
    correct, labels = np.asarray(correct, dtype=bool), np.asarray(labels)
    if correct.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"correct has shape {correct.shape}, labels {labels.shape}; one entry for each test sample is needed"
        )
    right, total = class_counts(correct, labels, dataset.num_classes)
    settings = plain(config)
    return Record(
        schema_version=SCHEMA_VERSION,
        source="measured",
        dataset=dataset,
        methods=tuple(methods),
        fuser=fuser,
        role=role,
        members=tuple(members),
        config=settings,
        config_hash=config_hash(settings),
        seed=seed,
        num_processes=num_processes,
        selection=selection,
        fold_rule=fold_rule,
        metrics={
            rule: _rounded(accuracy_from_counts(right, total, dataset.train_counts, rule), 4) for rule in FOLD_RULES
        },
        calibration=Calibration(ece=round(ece, 4), nll=round(nll, 4) if math.isfinite(nll) else None),
        per_class_correct=tuple(right.tolist()),
        per_class_total=tuple(total.tolist()),
        correct_bits=base64.b64encode(np.packbits(correct[np.argsort(labels, kind="stable")]).tobytes()).decode(),
        timings=_rounded(timings, 3),
        stages=tuple(stages),
        track=track,
        environment=environment,
        logits_sha256=LogitsDigests(**logits_sha256),
        created=datetime.now(UTC).replace(microsecond=0),
        fuser_state=compact_numbers(fuser_state),
        analyses=compact_numbers(analyses),
        notes=tuple(notes),
        fitted_on=fitted_on,
    )


def row_config(config: Mapping[str, Any], methods: Sequence[str], order: Iterable[str], fuser: str) -> dict[str, Any]:
    """The part of a run's resolved settings that decides one row: equal rows of different runs have equal hashes.

    The folders of images and lists are left out: they say something about a machine and nothing about the row. So are the
    permission ``backbone.unused``, ``controls``, which speaks of other rows, and what :data:`_LATER` names.

    Args:
        config: :class:`ltbench.config.RunConfig` as plain values.
        methods: of the row.
        order: these and all that they require.
        fuser: of the row; ``none`` has no settings.
    """
    sections = {name: config["settings"][name] for name in [*order, fuser] if name in config["settings"]}
    return {
        **_without_later(config),
        "methods": list(methods),
        "fusers": [] if fuser == "none" else [fuser],
        "dataset": _without_places(config["dataset"]),
        "backbone": {key: value for key, value in config["backbone"].items() if key != "unused"},
        "settings": sections,
    }


def _without_later(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = dict(config)
    for (table, key), unsaid in _LATER.items():
        if table in kept and kept[table].get(key, unsaid) == unsaid:
            kept[table] = {name: value for name, value in kept[table].items() if name != key}
    kept.pop("controls", None)
    return {name: value for name, value in kept.items() if value or name != "evaluation"}


def config_hash(config: Mapping[str, Any]) -> str:
    """sha256 (hex) of the canonical JSON without ``seed`` and without where images and lists lie."""
    kept = {key: value for key, value in config.items() if key != "seed"}
    if isinstance(kept.get("dataset"), Mapping):
        kept["dataset"] = {key: value for key, value in _without_places(kept["dataset"]).items() if key != "root"}
    return digest(kept)


def _without_places(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a dataset without what says where something lies on a machine: ``root``, and the option ``lists``."""
    kept = {**dataset, "root": None}
    if isinstance(kept.get("options"), Mapping):
        kept["options"] = {key: value for key, value in kept["options"].items() if key != "lists"}
    return kept


def logits_digest(logits: Mapping[str, np.ndarray], labels: np.ndarray) -> str:
    """sha256 (hex) of what one split says: name, shape and little-endian float32 values of each member's logits, by name,
    and the labels int64[N]; rows in the order of the split."""
    total = hashlib.sha256()
    for name in sorted(logits):
        values = np.ascontiguousarray(logits[name], dtype="<f4")
        total.update(canonical_json([name, values.shape]).encode())
        total.update(values.data)
    total.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return total.hexdigest()


def compact_numbers(values: Any) -> Any:
    """Floats with 6 significant digits; a list of more than 2,000 numbers becomes
    ``{"numbers": how many, "sha256": of their canonical JSON}``."""
    values = plain(values)
    if isinstance(values, dict):
        return {key: compact_numbers(value) for key, value in values.items()}
    if isinstance(values, list):
        if (size := _numbers_in(values)) > _LONGEST_LIST:
            return {"numbers": size, "sha256": digest(values)}
        return [compact_numbers(value) for value in values]
    return float(f"{values:.6g}") if isinstance(values, float) else values


def _numbers_in(value: Any) -> int:
    return sum(map(_numbers_in, value)) if isinstance(value, list) else 1


def _rounded(values: Mapping[str, float], digits: int) -> dict[str, float]:
    return {key: round(float(value), digits) for key, value in values.items()}
