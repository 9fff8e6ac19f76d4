"""Options beyond reason and splits without samples are one line."""

from typing import Any

import pytest
import torch
from ltbench_datasets.glyphs import GlyphsOptions
from pydantic import ValidationError

from ltbench.data.augmentation.augment import AugmentConfig
from ltbench.data.base import Dataset, TensorSplit, check_splits
from ltbench.data.carving import carve
from ltbench.errors import DataError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 10_000_000}, "less than or equal to 1024"),
        ({"max_count": 10**30}, "do not fit"),
        ({"train_counts": (10**30, 5)}, "do not fit"),
        ({"num_classes": 10**30}, "less than or equal to"),
        ({"test_per_class": 10**12}, "do not fit"),
        ({"size": 1024, "max_count": 5000}, "do not fit"),
    ],
)
def test_glyphs_that_no_memory_holds_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GlyphsOptions(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 10_000_000},
        {"shift": 10**30},
        {"crop_ratio": (0.75, float("inf"))},
        {"color_jitter": (float("inf"), 0, 0, 0)},
    ],
)
def test_augmentation_beyond_reason_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        AugmentConfig(**options)


def test_holding_out_any_number_is_at_most_half() -> None:
    kept, held_out = carve(torch.tensor([0, 0, 0, 0, 1, 1]).numpy(), 10**30, 0)
    assert (len(kept), len(held_out)) == (3, 3)


class Given(Dataset):
    """Splits as they are given; two classes."""

    name = "given"
    class_names = ("one", "two")  # type: ignore[assignment]
    fingerprint = "0" * 64  # type: ignore[assignment]

    def __init__(self, **labels: list[int]) -> None:
        super().__init__()
        self.labels = {"train": [0, 1], "val": [0, 1], "test": [0, 1]} | labels

    def split(self, name: str) -> TensorSplit:
        labels = torch.tensor(self.labels[name], dtype=torch.int64)
        return TensorSplit(torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8), labels)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_empty_split_and_labels_that_are_no_class_are_named(split: str) -> None:
    check_splits(Given())
    with pytest.raises(DataError, match=f"given: the {split} split is empty"):
        check_splits(Given(**{split: []}))
    with pytest.raises(
        DataError, match=rf"the {split} split has labels from -1 to 2, but there are 2 classes \(0 to 1\)"
    ):
        check_splits(Given(**{split: [0, -1, 2]}))
