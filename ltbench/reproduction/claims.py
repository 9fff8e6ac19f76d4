"""Whether the paper's claims hold here, and how ensembles compare with their controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ltbench.reproduction.outcomes import Data, Differences, Outcomes, Pair, mean_accuracy
from ltbench.reproduction.spec import ClaimSpec, ControlsSpec
from ltbench.statistics.bootstrap import Difference

Verdict = Literal["holds", "does not hold", "not tested"]


@dataclass(frozen=True)
class Margin:
    """On one fold the comparison that decides: of all those claimed, the one with the smallest lead."""

    fold: str
    row: str
    other: str
    difference: Difference

    @property
    def clear(self) -> bool:
        """The interval leaves out 0."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class Claim:
    """A claim and what became of it.

    Attributes:
        margins: one a fold; empty for a spread.
        spread: of the folds, in points; None for another kind.
        missing: rows that were not measured.
        clear: no interval that the verdict rests on holds 0 (for a spread there is none: None).
    """

    spec: ClaimSpec
    verdict: Verdict
    seeds: list[int]
    margins: list[Margin] = field(default_factory=list)
    spread: float | None = None
    missing: list[str] = field(default_factory=list)
    clear: bool | None = None


@dataclass(frozen=True)
class Controlled:
    """An ensemble against its controls on All.

    Attributes:
        best: the control with the highest mean All on the test set; chosen there, which favours it.
        differences: control -> ensemble minus control on All, for every control measured.
        missing: rows that were not measured.
    """

    ensemble: str
    best: str
    differences: dict[str, Difference]
    seeds: list[int]
    missing: list[str]

    @property
    def above(self) -> bool:
        return bool(self.best) and self.differences[self.best].estimate > 0

    @property
    def clear(self) -> bool:
        found = self.differences[self.best]
        return found.low > 0 or found.high < 0


def pairs_of(claims: Sequence[ClaimSpec], controls: Sequence[ControlsSpec]) -> list[Pair]:
    """The comparisons that these need."""
    pairs = [(row, other) for claim in claims for row in claim.rows for other in claim.others]
    return pairs + [(one.ensemble, control) for one in controls for control in one.controls]


def check_claim(spec: ClaimSpec, rows: Mapping[str, Outcomes], data: Data, differences: Differences) -> Claim:
    """The verdict, by the means over the seeds that the rows share."""
    missing = [name for name in (*spec.rows, *spec.others) if name not in rows]
    if missing:
        return Claim(spec, "not tested", [], missing=missing)
    return _spread(spec, rows, data) if spec.kind == "spread" else _above(spec, differences)


def _spread(spec: ClaimSpec, rows: Mapping[str, Outcomes], data: Data) -> Claim:
    row = rows[spec.rows[0]]
    accuracy = mean_accuracy(row, data)
    means = [accuracy[fold].mean for fold in spec.folds if fold in accuracy]
    spread = max(means) - min(means)
    return Claim(spec, "holds" if spread <= spec.points else "does not hold", row.seeds, spread=spread)


def _above(spec: ClaimSpec, differences: Differences) -> Claim:
    compared = [(row, other) for row in spec.rows for other in spec.others]
    found = {pair: differences.get(*pair) for pair in compared}
    seeds = sorted({seed for pair in compared for seed in differences.seeds.get(pair, [])})
    measured = [(pair, of_fold) for pair, of_fold in found.items() if of_fold is not None]
    folds = [fold for fold in spec.folds if all(fold in of_fold for _, of_fold in measured)]
    if len(measured) < len(compared) or not folds:
        return Claim(spec, "not tested", seeds)
    margins = []
    for fold in folds:
        (row, other), of_fold = min(measured, key=lambda item: item[1][fold].estimate)
        margins.append(Margin(fold, row, other, of_fold[fold]))
    failed = [margin for margin in margins if not _enough(margin.difference.estimate, spec.or_equal)]
    deciding = failed or margins
    # One clear failure refutes; for holding every lead has to be clear.
    clear = any(margin.clear for margin in deciding) if failed else all(margin.clear for margin in deciding)
    return Claim(spec, "does not hold" if failed else "holds", seeds, margins, clear=clear)


def _enough(lead: float, or_equal: bool) -> bool:
    return lead >= 0 if or_equal else lead > 0


def check_controls(
    spec: ControlsSpec, rows: Mapping[str, Outcomes], data: Data, differences: Differences
) -> Controlled:
    """The ensemble beside each of its controls that was measured; ``best`` is empty where none was."""
    found = {control: differences.get(spec.ensemble, control) for control in spec.controls}
    measured = {control: of_fold["all"] for control, of_fold in found.items() if of_fold is not None}
    best = max(measured, key=lambda control: mean_accuracy(rows[control], data)["all"].mean, default="")
    return Controlled(
        ensemble=spec.ensemble,
        best=best,
        differences=measured,
        seeds=differences.seeds.get((spec.ensemble, best), []),
        missing=[name for name in (spec.ensemble, *spec.controls) if name not in rows],
    )
