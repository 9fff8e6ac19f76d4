"""Fashion-MNIST-LT: Fashion-MNIST (Xiao et al. 2017) with exponentially falling class counts (Cao et al. 2019)."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import FashionMNIST

from ltbench.common.cache import cache_dir
from ltbench.common.canonical import digest
from ltbench.data.long_tailed import LongTailed
from ltbench.data.tensor_cache import Kept, cached
from ltbench.errors import DataError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the files."""

CONTENT = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""File -> sha256 of what its ``.gz`` unpacks to. The packed files differ: Debian's lack the names and times in the headers of
the published ones, and with those put back have the md5 that torchvision knows."""

_HEADER_BYTES = {"images": 16, "labels": 8}


class FashionMnistLT(LongTailed):
    """Long-tailed Fashion-MNIST: photographs of clothes, 28 x 28 grey pixels. The test split is its own: balanced, 10,000 images.

    Reads the four ``*-ubyte.gz`` files, in the data root or in torchvision's ``FashionMNIST/raw`` below it, by default those of
    Debian's package or what ``ltbench data fetch`` left in the cache folder, and compares the sha256 of their content. Mean and
    standard deviation are those of the pixels of all 60,000 training images.
    """

    name = "fashion-mnist-lt"
    image_shape = (1, 28, 28)
    mean, std = (0.2860,), (0.3530,)

    @staticmethod
    def default_root() -> Path:
        return DEBIAN if DEBIAN.is_dir() else cache_dir() / "datasets" / "fashion-mnist"

    @classmethod
    def fetch(cls, root: Path | None = None) -> Path:
        """Download Fashion-MNIST (31 MB) into ``root``, by default a folder of the cache; nothing, where it is there.

        Returns:
            The folder that holds it.

        Raises:
            DataError: no connection, a damaged download, or the folder cannot be written.
        """
        folder = root if root is not None else cls.default_root()
        if all(_located(folder, file).is_file() for file in CONTENT):
            return folder
        try:
            FashionMNIST(folder, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{FashionMNIST.mirrors[0]} could not be fetched into {folder}: {error}") from error
        return folder / "FashionMNIST" / "raw"

    def balanced(self) -> Kept:
        folder = Path(str(self.root))
        if absent := [f"{file}.gz" for file in CONTENT if not _located(folder, file).is_file()]:
            raise self._faulty(f"there is no {', no '.join(absent)} in {folder}.")
        return cached(f"fashion-mnist-{digest(CONTENT)[:20]}", self._read)

    def _read(self) -> Kept:
        tensors = {}
        for split, prefix in (("train", "train"), ("test", "t10k")):
            for what, kind in (("images", "idx3"), ("labels", "idx1")):
                values = self._content_of(f"{prefix}-{what}-{kind}-ubyte")[_HEADER_BYTES[what] :]
                tensors[f"{split}.{what}"] = torch.from_numpy(values.copy())
            tensors[f"{split}.images"] = tensors[f"{split}.images"].view(-1, *self.image_shape)
            tensors[f"{split}.labels"] = tensors[f"{split}.labels"].to(torch.int64)
        return tensors, {"classes": json.dumps(FashionMNIST.classes)}

    def _content_of(self, file: str) -> np.ndarray:
        """uint8[M], the unpacked file: an IDX header of big-endian numbers, for which the hash vouches, and bytes."""
        path = _located(Path(str(self.root)), file)
        try:
            with gzip.open(path) as stream:
                content = stream.read()
        except (OSError, EOFError) as error:
            raise self._faulty(f"{path} cannot be unpacked ({error}).") from error
        if hashlib.sha256(content).hexdigest() != CONTENT[file]:
            raise self._faulty(f"{path} is not the published file. Delete it;")
        return np.frombuffer(content, np.uint8)

    def _faulty(self, fault: str) -> DataError:
        where = "" if self.root == self.default_root() else f" --folder {self.root}"
        return DataError(
            f"{self.name}: {fault} 'ltbench data fetch {self.name}{where}' downloads it (31 MB), and Debian's package "
            "dataset-fashion-mnist has it."
        )


def _located(folder: Path, file: str) -> Path:
    below = folder / "FashionMNIST" / "raw" / f"{file}.gz"
    return below if below.is_file() else folder / f"{file}.gz"
