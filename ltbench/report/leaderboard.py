"""The leaderboard: a pure function of records. Same records, same rows, in whatever order they are read.

Records are ranked together only when data, fold rule, selection and track are equal; each such protocol is a board of
its own. A row is one (methods, fuser, config) over its seeds.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ltbench.common.canonical import canonical_json
from ltbench.data.folds import COLUMNS, fold_rule
from ltbench.report.comparison import check_same_data, differences, paired
from ltbench.report.labels import distinguish
from ltbench.results.marks import content_digest
from ltbench.results.record import Record, Role
from ltbench.results.schema import Selection, Track
from ltbench.statistics.bootstrap import Difference, holm
from ltbench.statistics.over_seeds import Mean, mean_of, means_of

_ROLES: tuple[Role, ...] = ("reference", "control", "run")
"""A row has the first of these that one of its records has: what one run asked for may be a reference in another."""


@dataclass(frozen=True)
class Protocol:
    """What all rows of a board share."""

    dataset: str
    fingerprint: str
    fold_rule: str
    selection: Selection
    track: Track


@dataclass(frozen=True)
class Row:
    """One line of a board.

    Attributes:
        fitted_on: what the fuser learned from, where the records say so.
        label: settings that tell the row from others of the same methods and fuser; empty where there are no others.
        config: first 8 digits of the config hash, as in the names of the row's records.
        accuracy: fold -> percent; a fold without test samples is left out.
        ece: percent.
        delta: All minus the baseline's over the seeds that both have, with the p value corrected over the board (Holm);
            None for the baseline itself and where no seed is shared.
        dirty: a record was made from sources that differ from their commit.
        recomputed: all its records are marked as computed from their logits.
        ranked: it has a place: it is recomputed, or nobody asked for that.
    """

    methods: tuple[str, ...]
    fuser: str
    role: Role
    fitted_on: str | None
    label: str
    config: str
    seeds: tuple[int, ...]
    accuracy: dict[str, Mean]
    ece: Mean
    delta: Difference | None
    dirty: bool
    recomputed: bool
    ranked: bool


@dataclass(frozen=True)
class Board:
    """Rows of one protocol, best first, those without a place last.

    Attributes:
        fold_sizes: fold -> number of classes; test: number of test samples.
        baseline: the row that the others are compared with, where there is one.
    """

    protocol: Protocol
    fold_sizes: dict[str, int]
    test: int
    rows: tuple[Row, ...]
    baseline: Row | None


def boards(
    records: Iterable[Record], folds: str | None = None, recomputed: Collection[str] | None = None
) -> list[Board]:
    """The boards of these records, sorted by protocol.

    Args:
        folds: measure all of them under this rule; by default each under the rule of its own run.
        recomputed: :func:`ltbench.results.marks.content_digest` of the records that are marked; the others take part in no
            ranking, for what agrees with itself may still be made up. None: all do.

    Raises:
        DataError: two records claim the same data but differ in their class counts.
        UsageError: unknown fold rule.
    """
    by_protocol: dict[str, list[Record]] = defaultdict(list)
    protocols: dict[str, Protocol] = {}
    for record in newest(records):
        rule = fold_rule(folds or record.fold_rule).name
        protocol = Protocol(record.dataset.name, record.dataset.fingerprint, rule, record.selection, record.track)
        key = _key(protocol)
        protocols[key] = protocol
        by_protocol[key].append(record)
    return [_board(protocols[key], by_protocol[key], recomputed) for key in sorted(by_protocol)]


def newest(records: Iterable[Record]) -> list[Record]:
    """Of records with one name on the same data the one made last; sorted by name.

    Runs that share a reference each keep a copy of its record in the cache.
    """
    latest: dict[tuple[str, str], Record] = {}
    for record in records:
        key = (record.dataset.fingerprint, record.name)
        if key not in latest or _age(latest[key]) < _age(record):
            latest[key] = record
    return [latest[key] for key in sorted(latest)]


def rows_of(records: Iterable[Record]) -> dict[tuple[tuple[str, ...], str, str], list[Record]]:
    """(methods, fuser, config hash) -> its records, one a seed, ascending."""
    groups: dict[tuple[tuple[str, ...], str, str], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.seed):
        groups[record.methods, record.fuser, record.config_hash].append(record)
    return dict(sorted(groups.items()))


def _board(protocol: Protocol, records: list[Record], recomputed: Collection[str] | None) -> Board:
    check_same_data(records)
    groups = list(rows_of(records).values())
    labels = distinguish([((group[0].methods, group[0].fuser), group[0].config) for group in groups])
    rows = [_row(group, label, protocol.fold_rule, recomputed) for group, label in zip(groups, labels, strict=True)]
    baseline = _baseline(groups, rows)
    if baseline is not None:
        rows = _with_deltas(rows, groups, baseline, protocol.fold_rule)
    ranked = sorted(
        rows, key=lambda row: (not row.ranked, -row.accuracy["all"].mean, row.methods, row.fuser, row.config)
    )
    data = records[0].dataset
    sizes = {fold: len(classes) for fold, classes in fold_rule(protocol.fold_rule).members(data.train_counts).items()}
    return Board(protocol, sizes, data.test, tuple(ranked), None if baseline is None else rows[baseline])


def _row(group: Sequence[Record], label: str, rule: str, recomputed: Collection[str] | None) -> Row:
    marked = bool(recomputed) and all(content_digest(record) in (recomputed or ()) for record in group)
    measured = [record.accuracy(rule) for record in group]
    roles = {record.role for record in group}
    return Row(
        methods=group[0].methods,
        fuser=group[0].fuser,
        role=next(role for role in _ROLES if role in roles),
        fitted_on=next((record.fitted_on for record in group if record.fitted_on), None),
        label=label,
        config=group[0].config_hash[:8],
        seeds=tuple(record.seed for record in group),
        accuracy=means_of(measured, COLUMNS),
        ece=mean_of([record.calibration.ece for record in group]),
        delta=None,
        dirty=any(record.environment.git_dirty for record in group),
        recomputed=marked,
        ranked=marked or recomputed is None,
    )


def _baseline(groups: Sequence[Sequence[Record]], rows: Sequence[Row]) -> int | None:
    """Position of the row to compare with: the reference, taken as it is, whose trained stages most rows rest on."""

    def rests_on(position: int) -> tuple[int, int]:
        own = {stage.key for record in groups[position] for stage in record.stages if stage.method in record.methods}
        resting = sum(any(stage.key in own for record in group for stage in record.stages) for group in groups)
        return resting, len(rows[position].seeds)

    references = [position for position, row in enumerate(rows) if row.role == "reference" and row.fuser == "none"]
    references = [position for position in references if rows[position].ranked] or references
    return max(references, key=rests_on, default=None)


def _with_deltas(rows: list[Row], groups: Sequence[Sequence[Record]], baseline: int, rule: str) -> list[Row]:
    pairs = [paired(group, groups[baseline]) if position != baseline else [] for position, group in enumerate(groups)]
    comparable = [position for position, found in enumerate(pairs) if found]
    deltas = [found["all"] for found in differences([pairs[position] for position in comparable], rule, ["all"])]
    corrected = holm([delta.p for delta in deltas])
    rows = list(rows)
    for position, delta, p in zip(comparable, deltas, corrected, strict=True):
        rows[position] = replace(rows[position], delta=replace(delta, p=float(p)))
    return rows


def _age(record: Record) -> tuple[datetime, str]:
    """Order of records with one name: by time, ties by content, so that the order of reading decides nothing."""
    return record.created, record.model_dump_json()


def _key(protocol: Protocol) -> str:
    parts = (
        protocol.dataset,
        protocol.fingerprint,
        protocol.fold_rule,
        protocol.selection.model_dump(),
        protocol.track.model_dump(),
    )
    return canonical_json(parts)
