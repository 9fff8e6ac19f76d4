"""A context that trains nothing: it notes what a method asks to be trained, and answers as the test says."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ltbench.backbones import Backbone
from ltbench.data.folds import fold_rule
from ltbench.method import Classes, Member, TrainingResult

FEATURES = 4


class Trunk(nn.Module):
    """Images float[B, 1, 2, 2] as features float[B, 4], through one learnable layer."""

    num_features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


class Labels:
    """A split without images."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)


class StubContext:
    """A :class:`ltbench.method.MethodContext` without an engine.

    Args:
        train_counts: training images of each class; there are five of each in the validation split.
        answer: what training a member comes to: (member, arguments of train) -> best accuracy.

    Attributes:
        asked: the arguments of every call of ``train``.
        logged: of every call of ``log``.
    """

    def __init__(
        self, train_counts: list[int], answer: Callable[[Member, dict[str, Any]], float] = lambda *_: 0.0
    ) -> None:
        counts = torch.tensor(train_counts)
        ids = torch.arange(len(counts))
        folds = fold_rule("paper").members(counts.numpy())
        self.train_split = Labels(ids.repeat_interleave(counts))
        self.val_split = Labels(ids.repeat_interleave(5))
        self.classes = Classes(
            [f"class {k}" for k in ids.tolist()],
            counts,
            {name: torch.as_tensor(chosen) for name, chosen in folds.items()},
        )
        self.asked: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self._answer = answer
        torch.manual_seed(11)
        self.baseline = Member("all", ids, self.new_backbone(), nn.Linear(FEATURES, len(counts)))

    def new_backbone(self) -> Backbone:
        return Backbone(Trunk())

    def stage(self, method: str) -> list[Member]:
        assert method == "baseline"
        return [self.baseline]

    def generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(len(name))

    def log(self, **metrics: Any) -> None:
        self.logged.append(metrics)

    def train(self, member: Member, **arguments: Any) -> TrainingResult:
        self.asked.append({"member": member, **arguments})
        return TrainingResult(1, self._answer(member, arguments), [])


def epochs(sampler: Any, count: int) -> list[Tensor]:
    """Positions of the first epochs of a sampler."""
    return [sampler.indices(epoch, torch.Generator().manual_seed(epoch)) for epoch in range(count)]
