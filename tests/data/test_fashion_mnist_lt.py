import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ltbench_datasets import fashion_mnist_lt
from ltbench_datasets.fashion_mnist_lt import FashionMnistLT
from tiny import Outcome

from ltbench.data.long_tailed import LongTailedOptions
from ltbench.errors import DataError

TRAIN, TEST = 16, 2
"""Images of each of the ten classes."""


def idx(values: np.ndarray) -> bytes:
    """The IDX format as its page describes it: two zero bytes, 8 for uint8, the number of axes, their sizes, the values."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def store(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Writes the four files, each picture with its label and number in its upper left corner, as the published ones."""

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True)
        for prefix, per_class in (("train", TRAIN), ("t10k", TEST)):
            labels = np.tile(np.arange(10, dtype=np.uint8), per_class)
            images = np.zeros((len(labels), 28, 28), dtype=np.uint8)
            images[:, 0, 0], images[:, 0, 1] = labels, np.arange(len(labels))
            images[:, 3, 5] = 200
            for file, values in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
                content = idx(values)
                monkeypatch.setitem(fashion_mnist_lt.CONTENT, file, hashlib.sha256(content).hexdigest())
                (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        return folder

    return write


def opened(root: Path) -> FashionMnistLT:
    return FashionMnistLT(LongTailedOptions(imbalance=4, val_per_class=3), root)


@pytest.mark.parametrize("below", [".", "FashionMNIST/raw"])
def test_splits(tmp_path: Path, store: Callable[[Path], Path], below: str) -> None:
    store(tmp_path / "files" / below)
    dataset = opened(tmp_path / "files")
    profile = [int(TRAIN * 0.25 ** (c / 9)) for c in range(10)]  # Cao et al. 2019
    held_out = [min(3, n // 2) for n in profile]
    assert dataset.train_counts.tolist() == [n - v for n, v in zip(profile, held_out, strict=True)]
    assert torch.bincount(dataset.split("val").labels).tolist() == held_out
    assert torch.bincount(dataset.split("test").labels).tolist() == [TEST] * 10
    used = []
    for name in ("train", "val", "test"):
        split = dataset.split(name)
        batch = split.__getitems__(range(len(split)))
        assert batch.images.shape == (len(split), *dataset.image_shape) == (len(split), 1, 28, 28)
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.labels)
        assert (batch.images[:, 0, 3, 5] == 200).all()
        if name != "test":
            used += batch.images[:, 0, 0, 1].tolist()
    assert len(set(used)) == len(used) == sum(profile)


def test_a_file_with_other_content_is_refused(tmp_path: Path, store: Callable[[Path], Path]) -> None:
    file = store(tmp_path / "files") / "train-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(idx(np.zeros(160, dtype=np.uint8))))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz is not the published file"):
        opened(file.parent).split("train")


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"abc", mtime=0)[:-4]], ids=["empty", "other", "truncated"]
)
def test_a_damaged_file_is_refused(tmp_path: Path, store: Callable[[Path], Path], content: bytes) -> None:
    file = store(tmp_path / "files") / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(content)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte.gz"):
        opened(file.parent).split("train")


def test_missing_files_are_named(tmp_path: Path, ltb: Callable[..., Outcome]) -> None:
    (tmp_path / "empty").mkdir()
    found = ltb("run", "-m", "baseline", "--dataset", "fashion-mnist-lt", "--data-root", tmp_path / "empty")
    assert found.code == 4
    assert "there is no train-images-idx3-ubyte.gz" in found.complaint
    assert f"ltbench data fetch fashion-mnist-lt --folder {tmp_path / 'empty'}" in found.complaint
