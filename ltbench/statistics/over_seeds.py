"""A figure of a row over its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Mean:
    """Mean over seeds and sample standard deviation; the latter None for a single seed."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + ("" if self.std is None else f" ± {self.std:.1f}")


def mean_of(values: Sequence[float]) -> Mean:
    """Of one value a seed, at least one."""
    return Mean(fmean(values), stdev(values) if len(values) > 1 else None)


def means_of(rows: Sequence[Mapping[str, float]], columns: Sequence[str]) -> dict[str, Mean]:
    """Column by column, of one row a seed; columns that the first row lacks are left out."""
    return {column: mean_of([row[column] for row in rows]) for column in columns if column in rows[0]}
