"""The contract suite lets a good dataset pass and finds each broken promise."""

import itertools
from pathlib import Path

import pytest
import torch

from ltbench.data import Dataset, TensorSplit
from ltbench.data.base import Batch
from ltbench.errors import DataError
from ltbench.testing import check_dataset

LABELS = torch.arange(3).repeat_interleave(torch.tensor([9, 5, 2]))


class Kept(Dataset):
    """Keeps every promise: noise of three levels."""

    name = "kept"
    image_shape = (1, 6, 5)
    class_names = ["a", "b", "c"]  # noqa: RUF012
    fingerprint = "0" * 64

    def split(self, name: str) -> TensorSplit:
        generator = torch.Generator().manual_seed(len(name))
        images = torch.randint(256, (len(LABELS), *self.stored_shape), generator=generator)
        return self.made(images.to(torch.uint8), LABELS)

    stored_shape = (1, 6, 5)

    def made(self, images: torch.Tensor, labels: torch.Tensor) -> TensorSplit:
        return TensorSplit(images, labels)


class Turned(Kept):
    stored_shape = (1, 5, 6)


class Answers(TensorSplit):
    def __getitems__(self, indices) -> Batch:
        return self.answer(*super().__getitems__(indices))

    def answer(self, images, labels, indices) -> Batch:
        raise NotImplementedError


class Floats(Kept):
    class Split(Answers):
        def answer(self, images, labels, indices) -> Batch:
            return Batch(images.float(), labels, indices)

    def made(self, images, labels) -> TensorSplit:
        return self.Split(images, labels)


class OtherLabels(Floats):
    class Split(Answers):
        def answer(self, images, labels, indices) -> Batch:
            return Batch(images, labels.flip(0), indices)


class OtherIndices(Floats):
    class Split(Answers):
        def answer(self, images, labels, indices) -> Batch:
            return Batch(images, labels, torch.arange(len(labels)))


class LooksBeside(Floats):
    class Split(Answers):
        def answer(self, images, labels, indices) -> Batch:
            return Batch(images - images.float().mean().to(torch.uint8), labels, indices)


class Unseeded(Kept):
    numbers = itertools.count()

    def made(self, images, labels) -> TensorSplit:
        return TensorSplit(images + next(self.numbers), labels)


class UnknownLabel(Kept):
    def made(self, images, labels) -> TensorSplit:
        return TensorSplit(images, labels + 1)


class Empty(Kept):
    def made(self, images, labels) -> TensorSplit:
        return TensorSplit(images[:0], labels[:0])


class OneNameTwice(Kept):
    class_names = ["a", "b", "a"]  # noqa: RUF012


class OneClass(Kept):
    class_names = ["a"]  # noqa: RUF012


class ThreeMeans(Kept):
    mean = (0.5, 0.5, 0.5)


class NoSpread(Kept):
    std = (0.0,)


class NoFingerprint(Kept):
    fingerprint = "version 1"


class NewFingerprints(Kept):
    numbers = itertools.count()

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return f"{next(self.numbers):064x}"


class Open(Kept):
    """Gets past the guard of the test split."""


Open.split = Kept.split.__wrapped__  # type: ignore[attr-defined, method-assign]


class InAFolder(Kept):
    def split(self, name: str) -> TensorSplit:
        if self.root is None or not (self.root / "images").is_dir():
            raise DataError(f"there is no folder 'images' in {self.root}.")
        return super().split(name)


def test_a_dataset_that_keeps_its_promises_passes() -> None:
    check_dataset(Kept)
    check_dataset(Kept, Kept.Options())


@pytest.mark.parametrize(
    ("cls", "complaint"),
    [
        (Turned, r"train split: 16 images have shape \(16, 1, 5, 6\), not \(16, 1, 6, 5\) as image_shape says"),
        (Floats, "images are torch.float32, not uint8"),
        (OtherLabels, "a batch has other labels than the split"),
        (OtherIndices, "a batch has other indices than were asked for"),
        (LooksBeside, "an image depends on what is read beside it"),
        (Unseeded, "another object of the class reads other images"),
        (UnknownLabel, "labels from 1 to 3, but there are 3 classes"),
        (Empty, "the train split is empty"),
        (OneNameTwice, "class_names are not distinct"),
        (OneClass, "class_names has 1 entries"),
        (ThreeMeans, "mean has 3 numbers for 1 channels"),
        (NoSpread, r"std is \(0.0,\)"),
        (NoFingerprint, "fingerprint is 'version 1', not a sha256"),
        (NewFingerprints, "have two fingerprints"),
        (Open, "a method can open its test split"),
    ],
)
def test_a_broken_promise_is_named(cls: type[Dataset], complaint: str) -> None:
    with pytest.raises(AssertionError, match=f"^{cls.__name__}.*{complaint}") as caught:
        check_dataset(cls)
    assert "\n" not in str(caught.value)


def test_images_that_are_not_there_are_no_broken_promise_unless_their_folder_was_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder 'images'"):
        check_dataset(InAFolder)
    with pytest.raises(AssertionError, match="InAFolder: there is no folder 'images'"):
        check_dataset(InAFolder, root=tmp_path)
    (tmp_path / "images").mkdir()
    check_dataset(InAFolder, root=tmp_path)
