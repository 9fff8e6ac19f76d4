"""Small sets of images that torchvision downloads when asked; torchvision is imported only then."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class SmallFiles:
    """The :class:`ltbench.plugin.Origin` of a dataset whose class fetches its own files."""

    module: str
    cls: str
    downloads: tuple[str, ...] = ()

    def found(self, root: Path | None) -> tuple[str, str]:
        return "", ""

    def fetch(self, folder: Path | None) -> Iterator[tuple[Path, str]]:
        yield getattr(import_module(self.module), self.cls).fetch(folder), "downloaded"


CIFAR10_LT = SmallFiles("ltbench_datasets.cifar_lt", "Cifar10LT")
CIFAR100_LT = SmallFiles("ltbench_datasets.cifar_lt", "Cifar100LT")
FASHION_MNIST_LT = SmallFiles("ltbench_datasets.fashion_mnist_lt", "FashionMnistLT")
