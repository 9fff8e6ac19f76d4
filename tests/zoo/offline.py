"""What a method sees of its context, without an engine: features that a test chooses, and a note of what was asked for."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from ltbench.data.folds import fold_rule
from ltbench.method import Classes, Member, Round, TrainingResult


class Offline:
    """A context over given features float[V, N, D] with labels int64[N] of ``num_classes`` classes.

    Attributes:
        trained: the arguments of the last ``train``.
        logged: all that was logged.
    """

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int, folder: Path | None = None) -> None:
        self._features, self._folder = {"train": features, "val": features}, folder
        self.train_split = SimpleNamespace(labels=labels)
        counts = torch.bincount(labels, minlength=num_classes)
        folds = {name: torch.as_tensor(ids) for name, ids in fold_rule("paper").members(counts.numpy()).items()}
        self.classes = Classes([f"class {number}" for number in range(num_classes)], counts, folds)
        self.baseline = self._member()
        self.trained: dict[str, Any] = {}
        self.logged: list[dict[str, Any]] = []

    def _member(self) -> Member:
        classes = torch.arange(len(self.classes))
        head = nn.Linear(self._features["train"].shape[2], len(classes))
        nn.init.normal_(head.weight, generator=self.generator("baseline"))
        return Member("all", classes, nn.Identity(), head)  # type: ignore[arg-type]

    def new_backbone(self) -> Any:
        backbone = nn.Identity()
        backbone.num_features = self._features["train"].shape[2]
        return backbone

    def stage(self, method: str) -> list[Member]:
        return {"baseline": [self.baseline]}[method]

    def features(self, backbone: Any, split: str, views: int = 1) -> Tensor:
        assert views <= len(self._features[split])
        return self._features[split][:views]

    def show_at_validation(self, features: Tensor) -> None:
        """Other features float[V, M, D] for the validation split; by default it has the training split's."""
        self._features["val"] = features

    def train(self, member: Member, **arguments: Any) -> TrainingResult:
        self.trained = {"member": member, **arguments}
        return TrainingResult(1, 0.0, [])

    def generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(crc32(name.encode()))

    def log(self, **metrics: Any) -> None:
        self.logged.append(metrics)

    def progress(self, label: str, steps: int) -> AbstractContextManager[Callable[[], None]]:
        return nullcontext(lambda: None)

    def rounds(self, label: str, total: int, keep: Any) -> Iterator[Round]:
        for number in range(total):
            yield Round(number, self.logged.append)

    def artifact(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / name


def long_tailed(counts: list[int], width: int = 3, views: int = 1) -> tuple[Tensor, Tensor]:
    """Features float[V, N, width], a unit Gaussian around each class's own mean, and labels int64[N], shuffled."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    means = 5 * torch.randn(len(counts), width, generator=generator)
    return means[labels] + torch.randn(views, len(labels), width, generator=generator), labels
