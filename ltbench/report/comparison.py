"""Two rows side by side: accuracies, paired differences, McNemar tests."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ltbench.data.folds import FOLDS, fold_rule
from ltbench.errors import DataError, UsageError
from ltbench.results.lookup import row_name
from ltbench.results.record import Record
from ltbench.results.schema import DatasetInfo
from ltbench.statistics.bootstrap import Difference, McNemar, mcnemar, stratified_bootstraps


@dataclass(frozen=True)
class Comparison:
    """A beside B over the seeds that both have.

    Attributes:
        a, b: names of the rows.
        accuracy_a, accuracy_b: fold -> percent, mean over those seeds.
        differences: fold -> A minus B; p values are not corrected.
        seeds: of A.
        mcnemar: seed of A -> test on all classes.
        notes: in what the protocols differ.
    """

    a: str
    b: str
    dataset: str
    fold_rule: str
    seeds: tuple[int, ...]
    accuracy_a: dict[str, float]
    accuracy_b: dict[str, float]
    differences: dict[str, Difference]
    mcnemar: dict[int, McNemar]
    notes: tuple[str, ...]


def paired(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[Record, Record]]:
    """The records of two rows by the seeds that both have, ascending."""
    of_b = {record.seed: record for record in b}
    return [(record, of_b[record.seed]) for record in sorted(a, key=lambda record: record.seed) if record.seed in of_b]


def differences(
    rows: Sequence[Sequence[tuple[Record, Record]]], rule: str, folds: Collection[str] = (*FOLDS, "all")
) -> list[dict[str, Difference]]:
    """For each row of pairs (A, B), one a seed: A minus B on each of ``folds``, by default all of them and ``all``.

    Raises:
        DataError: the records were measured on different data.
    """
    if not rows:
        return []
    data = check_same_data([record for pairs in rows for pair in pairs for record in pair])
    groups = {**fold_rule(rule).members(data.train_counts), "all": np.arange(data.num_classes)}
    groups = {fold: groups[fold] for fold in folds}
    bits = [(_bits([one for one, _ in pairs]), _bits([other for _, other in pairs])) for pairs in rows]
    return stratified_bootstraps(bits, rows[0][0][0].labels(), groups)


def _bits(records: Sequence[Record]) -> np.ndarray:
    return np.stack([record.correct() for record in records])


def check_same_data(records: Sequence[Record]) -> DatasetInfo:
    """The data that all these records are of. Raises DataError where test samples or training counts differ."""
    first = records[0]
    for record in records[1:]:
        if record.dataset.fingerprint != first.dataset.fingerprint:
            raise DataError(
                f"{record.name} and {first.name} are of different data (fingerprints differ) and cannot be compared."
            )
        if (record.per_class_total, record.dataset.train_counts) != (first.per_class_total, first.dataset.train_counts):
            raise DataError(
                f"{record.name} and {first.name} claim the same data but their class counts differ: one is wrong."
            )
    return first.dataset


def compare_rows(a: Sequence[Record], b: Sequence[Record], folds: str | None = None) -> Comparison:
    """Compare two rows under ``folds``, by default the rule of A's run. Two single records may differ in the seed.

    Raises:
        DataError: they were measured on different data.
        UsageError: they share no seed, or the fold rule is unknown.
    """
    rule = fold_rule(folds or a[0].fold_rule).name
    notes = _protocol_notes(a[0], b[0])
    pairs = paired(a, b)
    if not pairs and len(a) == len(b) == 1:
        pairs = [(a[0], b[0])]
        notes.append(f"seed differs: {a[0].seed} in A, {b[0].seed} in B")
    if not pairs:
        raise UsageError(
            f"{row_name(a[0])} and {row_name(b[0])} share no seed; run one of them with the seeds of the other."
        )
    return Comparison(
        a=row_name(a[0]),
        b=row_name(b[0]),
        dataset=a[0].dataset.name,
        fold_rule=rule,
        seeds=tuple(record.seed for record, _ in pairs),
        accuracy_a=_accuracy([record for record, _ in pairs], rule),
        accuracy_b=_accuracy([record for _, record in pairs], rule),
        differences=differences([pairs], rule)[0],
        mcnemar={one.seed: mcnemar(one.correct(), other.correct()) for one, other in pairs},
        notes=tuple(notes),
    )


def _accuracy(records: Sequence[Record], rule: str) -> dict[str, float]:
    measured = [record.accuracy(rule) for record in records]
    return {fold: float(np.mean([one[fold] for one in measured])) for fold in measured[0]}


def _protocol_notes(a: Record, b: Record) -> list[str]:
    sides = [{**record.track.model_dump(), "selection": record.selection.split} for record in (a, b)]
    return [
        f"{key} differs: {sides[0][key]} in A, {sides[1][key]} in B"
        for key in sides[0]
        if sides[0][key] != sides[1][key]
    ]
