"""CIFAR-10-LT and CIFAR-100-LT (Cao et al., NeurIPS 2019): exponentially falling class counts, drawn from CIFAR."""

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from ltbench.common.cache import cache_dir
from ltbench.common.canonical import digest
from ltbench.data.long_tailed import VAL_PER_CLASS, LongTailed, LongTailedOptions
from ltbench.data.tensor_cache import Kept, cached
from ltbench.errors import DataError


class Cifar100Options(LongTailedOptions):
    """Which images are drawn."""

    val_per_class: int = Field(default=5, ge=1, description=VAL_PER_CLASS)


class CifarLT(LongTailed):
    """Long-tailed CIFAR. The test split is CIFAR's own: balanced, 10,000 images.

    The archive is a pickle, read by torchvision after it has compared the md5 of every file with the published one. All
    images are kept in the cache folder as tensors, from which later runs take them.
    """

    image_shape = (3, 32, 32)
    _source: ClassVar[Any]

    @staticmethod
    def default_root() -> Path:
        return cache_dir() / "datasets" / "cifar"

    @classmethod
    def fetch(cls, root: Path | None = None) -> Path:
        """Download and unpack CIFAR (170 MB) into ``root``, by default a folder of the cache; nothing, where it is there.

        Returns:
            The folder that holds it.

        Raises:
            DataError: no connection, a damaged download, or the folder cannot be written.
        """
        folder = root if root is not None else cls.default_root()
        try:
            cls._source(folder, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{cls._source.url} could not be fetched into {folder}: {error}") from error
        return folder / cls._source.base_folder

    def balanced(self) -> Kept:
        source = self._source
        if not (Path(str(self.root)) / source.base_folder).is_dir():
            raise self._absent(f"there is no folder {source.base_folder} in {self.root}.")
        key = digest([source.train_list, source.test_list, source.meta])
        return cached(f"{source.base_folder}-{key[:20]}", self._unpickled)

    def _unpickled(self) -> Kept:
        tensors = {}
        try:
            splits = {
                name: self._source(self.root, train=name == "train", download=False) for name in ("train", "test")
            }
        except RuntimeError as error:
            raise self._absent(self._fault()) from error
        except OSError as error:
            raise DataError(f"{self.name}: {error.filename} cannot be read: {error.strerror}.") from error
        for name, split in splits.items():
            tensors[f"{name}.images"] = torch.from_numpy(split.data).permute(0, 3, 1, 2).contiguous()
            tensors[f"{name}.labels"] = torch.tensor(split.targets)
        return tensors, {"classes": json.dumps(splits["train"].classes)}

    def _fault(self) -> str:
        """Which files of the unpacked archive are wrong."""
        source = self._source
        folder = Path(str(self.root)) / source.base_folder
        files = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
        wrong = [name for name, md5 in files if not check_integrity(folder / name, md5)]
        return f"missing or damaged in {folder}: {', '.join(wrong)}. Delete that folder;"

    def _absent(self, fault: str) -> DataError:
        where = "" if self.root == self.default_root() else f" --folder {self.root}"
        return DataError(f"{self.name}: {fault} 'ltbench data fetch {self.name}{where}' downloads it (170 MB).")


class Cifar10LT(CifarLT):
    """CIFAR-10-LT. Mean and standard deviation are those of the pixels of CIFAR-10's training images.

    20 validation images a class are as many as ImageNet-LT and Places-LT have, and at imbalance 100 leave the rarest
    class 30 of its 50.
    """

    name = "cifar10-lt"
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    _source = CIFAR10


class Cifar100LT(CifarLT):
    """CIFAR-100-LT. Mean and standard deviation are those of the pixels of CIFAR-100's training images.

    5 validation images a class come to 500 in all; at imbalance 100 the rarest class has 5 images, of which it gives 2.
    """

    Options = Cifar100Options

    name = "cifar100-lt"
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    _source = CIFAR100
