"""CIFAR-10-LT and CIFAR-100-LT (Cao et al., NeurIPS 2019): exponentially falling class counts, drawn from CIFAR."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, Field
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from ltbench.cache import cache_dir
from ltbench.canonical import digest
from ltbench.data.base import Dataset, TensorSplit
from ltbench.data.carving import carve, imbalanced
from ltbench.data.tensor_cache import Kept, cached
from ltbench.errors import DataError


class CifarOptions(Dataset.Options):
    """Which images are drawn."""

    imbalance: float = Field(
        default=100.0, ge=1, description="Images of the most frequent class (class 0) over those of the rarest."
    )
    val_per_class: int = Field(
        default=20,
        ge=1,
        description="Validation images of each class, at most half of what it has, carved from the long-tailed training "
        "images: those that the imbalance leaves out would be extra labelled data for the rare classes.",
    )
    seed: int = Field(default=0, ge=0, description="Decides which images are drawn; not the seed of a run.")


class Cifar100Options(CifarOptions):
    """Which images are drawn."""

    val_per_class: int = Field(default=5, ge=1, description=CifarOptions.model_fields["val_per_class"].description)


class CifarLT(Dataset):
    """Long-tailed CIFAR. The test split is CIFAR's own: balanced, 10,000 images.

    Training and validation images together are as many as in the literature, which has no validation split and reports
    the best or last epoch on the test images; here training goes without those held out.

    The archive is a pickle, read by torchvision after it has compared the md5 of every file with the published one. All
    images are kept in the cache folder as tensors, from which later runs take them.
    """

    Options: type[CifarOptions] = CifarOptions
    options: CifarOptions

    image_shape = (3, 32, 32)
    _source: ClassVar[Any]

    def __init__(self, options: BaseModel | None = None, root: Path | None = None) -> None:
        super().__init__(options, root if root is not None else self._default_root())

    @staticmethod
    def _default_root() -> Path:
        return cache_dir() / "datasets" / "cifar"

    @classmethod
    def fetch(cls, root: Path | None = None) -> Path:
        """Download and unpack CIFAR (170 MB) into ``root``, by default a folder of the cache; nothing, where it is there.

        Returns:
            The folder that holds it.

        Raises:
            DataError: no connection, a damaged download, or the folder cannot be written.
        """
        folder = root if root is not None else cls._default_root()
        try:
            cls._source(folder, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{cls._source.url} could not be fetched into {folder}: {error}") from error
        return folder / cls._source.base_folder

    @property
    def class_names(self) -> list[str]:
        return self._content[0]

    def split(self, name: str) -> TensorSplit:
        return self._content[1][name]

    @property
    def fingerprint(self) -> str:
        return self._content[2]

    @cached_property
    def _content(self) -> tuple[list[str], dict[str, TensorSplit], str]:
        """Class names, splits, and sha256 over the names and each split's positions in CIFAR, labels and images."""
        options, (tensors, texts) = self.options, self._cifar()
        labels = tensors["train.labels"].numpy()
        drawn = imbalanced(labels, options.imbalance, options.seed)
        kept, held_out = carve(labels[drawn], options.val_per_class, options.seed)
        used = {
            "train": ("train", drawn[kept]),
            "val": ("train", drawn[held_out]),
            "test": ("test", np.arange(len(tensors["test.labels"]))),
        }
        splits = {}
        total = hashlib.sha256(texts["classes"].encode())
        for name, (source, positions) in used.items():
            chosen = torch.from_numpy(positions)
            splits[name] = TensorSplit(tensors[f"{source}.images"][chosen], tensors[f"{source}.labels"][chosen])
            for tensor in (chosen, splits[name].labels, splits[name].images):
                total.update(tensor.numpy().data)
        return json.loads(texts["classes"]), splits, total.hexdigest()

    def _cifar(self) -> Kept:
        """All of CIFAR: ``train.images`` uint8[50000, 3, 32, 32], ``train.labels`` int64[50000], test likewise; classes."""
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
        where = "" if self.root == self._default_root() else f" --folder {self.root}"
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
