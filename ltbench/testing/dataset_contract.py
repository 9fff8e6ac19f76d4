"""The contract of a dataset, checked on its splits. See :func:`check_dataset`, which plugin authors import from
:mod:`ltbench.testing`."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel

from ltbench.data.base import SPLITS, Dataset, Split, check_splits
from ltbench.data.guard import no_test_split
from ltbench.errors import DataError, LtbenchError, PluginError
from ltbench.registry.manager import plugins

FEW = 16
"""Samples of a split that are read."""


def check_dataset(
    dataset: type[Dataset] | str, options: BaseModel | None = None, *, root: Path | str | None = None
) -> None:
    """Check what every dataset promises, on a few samples of each split.

    Classes have distinct names; each of the splits ``train``, ``val`` and ``test`` has samples, with labels of these classes;
    batches are uint8 of the shape that the dataset states, with the labels and indices that were asked for; an image does not
    depend on what is read beside it, nor on which object of the class reads it; mean and standard deviation are one number
    for each channel, or one; the fingerprint is a sha256 and the same again; the test split is out of a method's reach.

    Args:
        dataset: its class, or its name.
        options: of the class's ``Options``; the defaults if None.
        root: folder of its images.

    Raises:
        AssertionError: one line that says which promise is broken.
        DataError: there is no ``root``, and the dataset says that it cannot do without. Nothing was checked.
    """
    cls: type[Dataset] = plugins().datasets.load(dataset) if isinstance(dataset, str) else dataset
    name, folder = cls.__name__, None if root is None else Path(root)

    def opened() -> Dataset:
        return cls(options if options is not None else cls.Options(), folder)

    try:
        first, second = opened(), opened()
        splits = {split: (first.split(split), second.split(split)) for split in SPLITS}
        prints = [each.fingerprint for each in (first, second)]
    except DataError as error:
        if root is None:
            raise
        raise AssertionError(f"{name}: {error}") from error
    _check_description(first, name, prints)
    for split, (one, other) in splits.items():
        _check_split(first, one, other, f"{name}, {split} split")
    _check_guard(opened, name)


def _check_description(dataset: Dataset, name: str, prints: list[str]) -> None:
    names = list(dataset.class_names)
    assert len(names) > 1, f"{name}: class_names has {len(names)} entries; there is nothing to tell apart"
    assert all(isinstance(each, str) for each in names), f"{name}: class_names are not all strings"
    assert len(set(names)) == len(names), f"{name}: class_names are not distinct"
    try:
        check_splits(dataset)
    except LtbenchError as error:
        raise AssertionError(f"{name}: {error}") from error
    channels = dataset.image_shape[0]
    for label, values in (("mean", dataset.mean), ("std", dataset.std)):
        assert len(values) in (1, channels), f"{name}: {label} has {len(values)} numbers for {channels} channels"
    assert min(dataset.std) > 0, f"{name}: std is {tuple(dataset.std)}; images are divided by it"
    valid = all(isinstance(each, str) and re.fullmatch("[0-9a-f]{64}", each) for each in prints)
    assert valid, f"{name}: fingerprint is {prints[0]!r}, not a sha256 in hexadecimal digits"
    assert prints[0] == prints[1], f"{name}: two objects with the same options have two fingerprints"


def _check_split(dataset: Dataset, split: Split, other: Split, where: str) -> None:
    labels = split.labels
    assert (labels.dtype, labels.ndim) == (torch.int64, 1), f"{where}: labels are {labels.dtype}, not int64[N]"
    assert len(split) == len(labels), f"{where}: it has {len(split)} samples and {len(labels)} labels"
    assert torch.equal(other.labels, labels), f"{where}: another object of the class has other labels"
    spread = torch.linspace(0, len(split) - 1, min(FEW, len(split))).round().long().unique()
    chosen = spread[torch.randperm(len(spread), generator=torch.Generator().manual_seed(0))]
    images, found, indices = split.__getitems__(chosen.tolist())
    assert images.dtype == torch.uint8, f"{where}: images are {images.dtype}, not uint8"
    expected, shape = (len(chosen), *dataset.image_shape), tuple(images.shape)
    assert shape == expected, f"{where}: {len(chosen)} images have shape {shape}, not {expected} as image_shape says"
    assert torch.equal(found, labels[chosen]), f"{where}: a batch has other labels than the split for the same samples"
    assert torch.equal(indices, chosen), f"{where}: a batch has other indices than were asked for"
    alone = torch.cat([split.__getitems__([index]).images for index in chosen.tolist()])
    assert torch.equal(alone, images), f"{where}: an image depends on what is read beside it, or on when it is read"
    again = other.__getitems__(chosen.tolist()).images
    assert torch.equal(again, images), f"{where}: another object of the class reads other images"


def _check_guard(opened: Callable[[], Dataset], name: str) -> None:
    dataset = opened()
    try:
        with no_test_split(f"{name} is checked"):
            dataset.split("test")
    except PluginError:
        return
    raise AssertionError(f"{name}: a method can open its test split; define 'split' in the class")
