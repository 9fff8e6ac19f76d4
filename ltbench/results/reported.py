"""Rows that a paper reports. They cannot be recomputed, so they stand apart and are never ranked with measured ones."""

from typing import Literal

from pydantic import Field, model_validator

from ltbench.data.folds import FOLDS
from ltbench.errors import DataError
from ltbench.metrics import check_consistent
from ltbench.results.schema import Part

_ROUNDING = 0.11
"""Percentage points between All and its folds that rounding to one digit explains: 0.05 on either side."""


class ReportedRow(Part):
    """One published result.

    Attributes:
        dataset: its name, as in the records.
        method: in the words of the source.
        accuracy: fold -> top-1 accuracy in percent; what is not legible is left out.
        fold_sizes: classes in each fold, where the source says which rule it used.
        fold_rule, backbone, epochs: in the words of the source; empty where it does not say.
        reference: where the numbers stand, with the table.
        verified: how they were read.
    """

    schema_version: Literal[1] = 1
    source: Literal["reported"] = "reported"
    dataset: str
    method: str
    accuracy: dict[str, float] = Field(min_length=1)
    fold_sizes: dict[str, int] = Field({})
    fold_rule: str = ""
    backbone: str = ""
    epochs: str = ""
    reference: str = Field(min_length=1)
    verified: str = ""

    @model_validator(mode="after")
    def _folds_and_percent(self) -> "ReportedRow":
        if odd := sorted({*self.accuracy, *self.fold_sizes} - {*FOLDS, "all"}):
            raise ValueError(f"'{odd[0]}' is no fold; there are {', '.join(FOLDS)} and all")
        for fold, value in self.accuracy.items():
            if not 0 <= value <= 100:
                raise ValueError(f"accuracy.{fold} is {value}, not a percentage")
        return self

    def contradiction(self) -> str:
        """Why the row is refused, or an empty string. Only a row with all folds and their sizes can be checked."""
        if not set(self.accuracy) >= {*FOLDS, "all"} or not set(self.fold_sizes) >= set(FOLDS):
            return ""
        try:
            check_consistent(self.accuracy, self.fold_sizes, _ROUNDING)
        except DataError as error:
            return str(error)
        return ""
