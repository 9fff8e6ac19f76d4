"""Steps of a training whose outputs a test chooses, and methods that are told of class counts alone."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ltbench.method import OneClassifier
from ltbench.training.step import Clock, Engine, Minibatch, Output, Step

COUNTS = [500, 120, 30, 5]


M = TypeVar("M", bound=OneClassifier)


def knowing(method: M, counts: list[int] = COUNTS) -> M:
    """The method as if its training had begun on classes of so many images."""
    method.context = SimpleNamespace(classes=SimpleNamespace(train_counts=torch.tensor(counts)))  # type: ignore[assignment]
    return method


def step_of(
    logits: Tensor, targets: Tensor, epoch: int = 0, epochs: int = 10, features: Tensor | None = None, **more: Any
) -> Step:
    """A step on one process, of one member ``all``, in which everything was answered already."""
    places = torch.arange(len(targets))
    answer = {"all": Output(logits, logits if features is None else features)}
    engine = Engine(lambda images: answer, lambda: torch.Generator().manual_seed(0), None, lambda values, batch: values)
    batch = Minibatch((logits,), targets, places, places, len(targets), **more)
    return Step(batch, Clock(epoch, epochs, epoch, epochs), engine)


def drawn(samples: int = 12, classes: int = 4, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits float64[N, C] and targets int64[N], the same at every call."""
    generator = torch.Generator().manual_seed(5)
    logits = scale * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (samples,), generator=generator)


def softmax(logits: Any) -> np.ndarray:
    shifted = np.exp(np.asarray(logits) - np.asarray(logits).max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def numeric_gradient(function: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function of a float64 tensor."""
    found = np.zeros(at.shape)
    for place in np.ndindex(*at.shape):
        shift = torch.zeros_like(at)
        shift[place] = step
        found[place] = (float(function(at + shift)) - float(function(at - shift))) / (2 * step)
    return found
