"""What methods are tested on: features that are drawn, and the epochs of a sampler."""

from typing import Any

import torch
from torch import Tensor

from ltbench.testing import FakeContext


def on_features(features: Tensor, labels: Tensor, **more: Any) -> FakeContext:
    """A context over features float[V, N, D] of the training split, with a baseline."""
    return FakeContext(labels=labels, features=features, stages=["baseline"], **more)


def long_tailed(counts: list[int], width: int = 3, views: int = 1) -> tuple[Tensor, Tensor]:
    """Features float[V, N, width], a unit Gaussian around each class's own mean, and labels int64[N], shuffled."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    means = 5 * torch.randn(len(counts), width, generator=generator)
    return means[labels] + torch.randn(views, len(labels), width, generator=generator), labels


def epochs(sampler: Any, count: int) -> list[Tensor]:
    """Positions of the first epochs of a sampler."""
    return [sampler.indices(epoch, torch.Generator().manual_seed(epoch)) for epoch in range(count)]
