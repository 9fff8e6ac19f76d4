"""What was measured of a row: for each seed, whether each test sample was right. Accuracies and differences follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ltbench.data.folds import COLUMNS, fold_rule
from ltbench.results.record import Record
from ltbench.statistics.bootstrap import Difference, stratified_bootstraps
from ltbench.statistics.metrics import accuracy_from_counts
from ltbench.statistics.over_seeds import Mean, means_of


@dataclass(frozen=True)
class Data:
    """What all rows share: training counts int[C], labels int64[N] of the test samples (ascending), the fold rule's name."""

    train_counts: np.ndarray
    labels: np.ndarray
    rule: str

    def accuracy(self, correct: np.ndarray) -> dict[str, float]:
        """Percent right on each fold that has test samples and on ``all``; ``correct`` bool[N]."""
        classes = len(self.train_counts)
        right = np.bincount(self.labels[correct], minlength=classes)
        total = np.bincount(self.labels, minlength=classes)
        return accuracy_from_counts(right, total, self.train_counts, self.rule)


@dataclass(frozen=True)
class Outcomes:
    """A row over its seeds.

    Attributes:
        correct: seed -> bool[N], in the order of :attr:`Data.labels`.
        records: seed -> name of the record; empty for what leaves none (the oracle).
    """

    correct: dict[int, np.ndarray]
    records: dict[int, str]

    @property
    def seeds(self) -> list[int]:
        return sorted(self.correct)


def of_records(records: Sequence[Record]) -> Outcomes:
    """The outcomes of one row's records, one a seed."""
    return Outcomes(
        {record.seed: record.correct() for record in records}, {record.seed: record.name for record in records}
    )


def mean_accuracy(row: Outcomes, data: Data) -> dict[str, Mean]:
    """Fold -> accuracy over the seeds, in percent."""
    return means_of([data.accuracy(row.correct[seed]) for seed in row.seeds], COLUMNS)


Pair = tuple[str, str]


class Differences:
    """Differences between rows, A minus B, on every fold, over the seeds that both have.

    All pairs are resampled together: that costs little more than one.
    """

    def __init__(self, rows: Mapping[str, Outcomes], data: Data, pairs: Sequence[Pair]) -> None:
        self.seeds: dict[Pair, list[int]] = {}
        for a, b in dict.fromkeys(pairs):
            if a in rows and b in rows and (both := [seed for seed in rows[a].seeds if seed in rows[b].correct]):
                self.seeds[a, b] = both
        bits = [
            (np.stack([rows[a].correct[s] for s in seeds]), np.stack([rows[b].correct[s] for s in seeds]))
            for (a, b), seeds in self.seeds.items()
        ]
        groups = {**fold_rule(data.rule).members(data.train_counts), "all": np.arange(len(data.train_counts))}
        self._found = dict(zip(self.seeds, stratified_bootstraps(bits, data.labels, groups), strict=True))

    def get(self, a: str, b: str) -> dict[str, Difference] | None:
        """Fold -> A minus B in points; None where one was not measured or no seed is shared."""
        return self._found.get((a, b))
