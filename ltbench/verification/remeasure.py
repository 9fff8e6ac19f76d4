"""The numbers of a record once more, from its logits: the fuser is fitted again, and everything is compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from ltbench.classes import classes_of
from ltbench.engine.evaluation.evaluate import Measured, make_fuser
from ltbench.engine.recording import measured_fields
from ltbench.errors import DataError, LtbenchError
from ltbench.fuser import Fuser
from ltbench.registry.manager import plugins
from ltbench.results.differences import first_difference
from ltbench.results.logits import LogitsFolder, joined, read_logits
from ltbench.results.record import Record, make_record
from ltbench.results.stage import Stage
from ltbench.verification.stage_reports import compare_with_stages, kept_stage

MARGIN = 1e-4
"""Two classes whose probabilities are this close may change places: float32 sums depend on threads and processors."""

FLIPS = 1e-3
"""Share of the test samples that may do so; one may in any case."""

ECE, NLL, STATE = 2e-3, 1e-3, 1e-3
"""By how much the calibration (percentage points beside what changed places, nats) and what a fuser learned (of the largest
number in each list) may differ, for the same reason. Logits with relative noise of 1e-6, on 5,000 samples of 100 classes, move
them by 3e-6, 4e-8 and 3e-5."""


@dataclass(frozen=True)
class LogitsAtHand:
    """Logits of a record's members, and the reports of its stages where they come from the cache."""

    place: str
    content: LogitsFolder
    stages: Mapping[str, Stage]

    compared = ("logits", "members", "bits", "counts", "accuracies", "ECE", "NLL", "what the fuser learned", "analyses")


def find_logits(record: Record, cache: Path, logits: Path | None) -> LogitsAtHand | str:
    """The logits of the record, or why they cannot be fused again. Raises DataError for a folder ``logits`` that
    cannot be used."""
    try:
        _fuser(record)
    except LtbenchError as error:
        return f"not recomputed: {error}"
    if logits is not None:
        for folder in (logits, logits / record.name):
            if (folder / "members.json").is_file():
                return LogitsAtHand(str(folder), read_logits(folder), {})
    try:
        return _from_cache(record, cache)
    except DataError as error:  # says nothing of the record
        return f"no logits here: {error}"


def _from_cache(record: Record, cache: Path) -> LogitsAtHand | str:
    kept: dict[str, Stage] = {}
    for stage in record.stages:
        if (found := kept_stage(cache, stage, record.track.test_views)) is not None:
            kept[stage.method] = found
        elif stage.method in record.methods:
            return f"no logits here: the stage '{stage.method}' {stage.key[:12]} is not in the cache"
    content = joined([read_logits(kept[name].logits, kept[name].of_logits) for name in record.methods])
    return LogitsAtHand("the cache", content, kept)


def compare_with_logits(record: Record, found: LogitsAtHand) -> list[str]:
    """A line for each number that is not what the logits give.

    Raises:
        LtbenchError: the fuser refuses the logits or the settings.
    """
    content = found.content
    different = [*_data(record, content), *compare_with_stages(record, found.stages)]
    if different:
        return different
    measured = Measured(_fuser(record), content)
    fields = measured_fields(record.role, content, measured)
    try:
        again = make_record(**_given(record), **fields)
    except ValueError as error:
        return [f"the logits give no such record: {error}"]
    return [*_compared(record, again, measured)]


def _data(record: Record, content: LogitsFolder) -> Iterator[str]:
    data = record.dataset
    theirs, ours = ([member.name for member in members] for members in (content.test.members, record.members))
    if theirs != ours:
        yield f"the logits are of the members {', '.join(theirs)}, the record of {', '.join(ours)}"
    if content.num_classes != data.num_classes or tuple(content.train_counts.tolist()) != data.train_counts:
        yield "the logits are of other classes or training counts than dataset says"
    for name, stated in (("val", data.val), ("test", data.test)):
        if (size := len(getattr(content, name).labels)) != stated:
            yield f"the logits have {size} samples of {name}, dataset.{name} is {stated}"
    for key, named in (("fingerprint", data.fingerprint), ("name", data.name)):
        if (found := content.dataset.get(key, named)) != named:
            yield f"the logits are of the dataset with {key} {found}, the record says {named}"


def _fuser(record: Record) -> Fuser:
    """The record's fuser with its settings, not fitted. Raises LtbenchError where it is not installed or takes others."""
    classes, name = classes_of(record.dataset.train_counts, record.fold_rule), record.fuser
    if name == "none":
        return make_fuser(name, classes)
    try:
        config = plugins().fusers.load(name).Config.model_validate(record.config["settings"][name])
    except ValidationError as error:
        raise LtbenchError(f"the fuser '{name}' that is installed takes other settings than the record's.") from error
    return make_fuser(name, classes, config)


def _given(record: Record) -> dict[str, Any]:
    """What the logits do not decide."""
    names = ("dataset", "methods", "fuser", "role", "config", "seed", "num_processes", "selection", "fold_rule")
    return {name: getattr(record, name) for name in (*names, "timings", "stages", "track", "environment", "notes")}


def _compared(record: Record, again: Record, measured: Measured) -> Iterator[str]:
    for split in ("val", "test"):
        stated, found = getattr(record.logits_sha256, split), getattr(again.logits_sha256, split)
        if stated != found:
            yield f"the logits of {split} have sha256 {found[:12]}, the record says {stated[:12]}"
    if record.members != again.members:
        yield "members are not those of the logits"
    if record.per_class_total != again.per_class_total:
        yield "per_class_total is not that of the test labels"
        return
    if record.fitted_on not in (None, again.fitted_on):
        yield f"fitted_on is {record.fitted_on}, the fuser is fitted on {again.fitted_on}"
    changed = 100 * float((record.correct() != again.correct()).mean())
    yield from _bits(record, again, measured)
    for key, allowed in (("ece", ECE + changed), ("nll", NLL)):
        stated, found = getattr(record.calibration, key), getattr(again.calibration, key)
        if not _close(stated, found, allowed):
            yield f"calibration.{key} is {stated}, the logits give {found}"
    for key, allowed in (("fuser_state", STATE), ("analyses", 1e-6)):
        if odd := first_difference(getattr(record, key), getattr(again, key), allowed):
            yield f"{key}{odd}"


def _bits(record: Record, again: Record, measured: Measured) -> Iterator[str]:
    """Samples whose answer may change with the machine: the two likeliest classes are within :data:`MARGIN`."""
    differ = record.correct() != again.correct()
    if not differ.any():
        return
    first, second = measured.log_posterior.topk(2, dim=1).values.exp().unbind(dim=1)
    close = ((first - second) < MARGIN).numpy()
    order = torch.argsort(measured.indices, stable=True).numpy()
    close = close[order][np.argsort(measured.labels.numpy()[order], kind="stable")]
    if (differ & ~close).any() or differ.sum() > max(1, FLIPS * len(differ)):
        was, now = sum(record.per_class_correct), sum(again.per_class_correct)
        yield f"{differ.sum()} of {len(differ)} bits are not what the logits give; {was} samples right, now {now}"


def _close(stated: float | None, found: float | None, allowed: float) -> bool:
    if stated is None or found is None:
        return stated is found
    return abs(stated - found) <= allowed
