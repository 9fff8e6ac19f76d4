"""Rows that papers report. They cannot be recomputed, so they stand apart and are never ranked with measured ones."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from ltbench.data.folds import FOLD_RULES, FOLDS
from ltbench.results.schema import Count, Name, Part, Percent
from ltbench.statistics.metrics import implied_all

_ROUNDING = 0.11
"""Percentage points between All and its folds that rounding to one digit explains: 0.05 on either side."""

_COLUMNS = (*FOLDS, "all")


class ReportedRow(Part):
    """One published result.

    Attributes:
        method, backbone, epochs: in the words of the source; empty where it does not say.
        accuracy: fold -> top-1 accuracy in percent; what the source does not give, or is not legible, is left out.
        fold_rule: a name in :data:`ltbench.data.folds.FOLD_RULES`; empty where the source does not say which.
        reference: where the numbers stand, with the table.
        verified: how they were read.
        table: title of the published table that the row is shown in; empty: it is shown with others of its backbone.
    """

    method: str = Field(min_length=1)
    accuracy: dict[str, Percent] = Field(min_length=1)
    backbone: str = ""
    epochs: str = ""
    fold_rule: str = ""
    reference: str = Field(min_length=1)
    verified: str = ""
    table: str = ""

    @field_validator("accuracy")
    @classmethod
    def _known_folds(cls, accuracy: dict[str, float]) -> dict[str, float]:
        if odd := sorted(accuracy.keys() - {*_COLUMNS}):
            raise ValueError(f"'{odd[0]}' is no fold; there are {', '.join(_COLUMNS)}")
        return accuracy

    @field_validator("fold_rule")
    @classmethod
    def _known_rule(cls, name: str) -> str:
        if name and name not in FOLD_RULES:
            raise ValueError(f"unknown fold rule '{name}'; known: {', '.join(FOLD_RULES)}, or empty")
        return name


@dataclass(frozen=True)
class FoldCheck:
    """All of a row beside what its folds imply.

    Attributes:
        stated: All as the source prints it, in percent.
        implied: fold rule -> the All that the folds imply under it, in percent.
        fits: the rules under which both agree but for rounding.
        verdict: ``agrees``: under the row's own rule, or under some rule where the source names none; ``other rule``: only
            under another than the row's own; ``contradicts``: under none.
    """

    stated: float
    implied: dict[str, float]
    fits: tuple[str, ...]
    verdict: Literal["agrees", "other rule", "contradicts"]


class Reported(Part):
    """The published rows of one file.

    Attributes:
        dataset: its name, as in the records.
        fold_sizes: fold rule -> classes of this dataset in each fold; with them rows are checked.
    """

    schema_version: Literal[1] = 1
    source: Literal["reported"] = "reported"
    dataset: Name
    fold_sizes: dict[str, dict[str, Count]] = Field({})
    rows: tuple[ReportedRow, ...]

    @field_validator("fold_sizes")
    @classmethod
    def _every_fold(cls, fold_sizes: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        for rule, sizes in fold_sizes.items():
            if rule not in FOLD_RULES:
                raise ValueError(f"unknown fold rule '{rule}'; known: {', '.join(FOLD_RULES)}")
            if sizes.keys() != {*FOLDS} or not any(sizes.values()):
                raise ValueError(f"'{rule}' needs the number of classes in each of {', '.join(FOLDS)}")
        if len({sum(sizes.values()) for sizes in fold_sizes.values()}) > 1:
            raise ValueError("the rules do not have the same number of classes")
        return fold_sizes

    def check(self, row: ReportedRow) -> FoldCheck | None:
        """None where a fold, All or the sizes of the row's folds are not known: there is nothing to compare."""
        if not row.accuracy.keys() >= {*_COLUMNS} or not self.fold_sizes:
            return None
        if row.fold_rule and row.fold_rule not in self.fold_sizes:
            return None
        stated = row.accuracy["all"]
        implied = {rule: implied_all(row.accuracy, sizes) for rule, sizes in self.fold_sizes.items()}
        fits = tuple(rule for rule, value in implied.items() if abs(value - stated) <= _ROUNDING)
        if not fits:
            return FoldCheck(stated, implied, fits, "contradicts")
        return FoldCheck(stated, implied, fits, "agrees" if row.fold_rule in ("", *fits) else "other rule")
