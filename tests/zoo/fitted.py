"""A method after a fit that trains nothing, and what its members answer to a batch."""

from typing import Any

import numpy as np

from ltbench.method import Member, Method
from ltbench.testing import FakeContext
from ltbench.training.step import Step

COUNTS = [90, 40, 10, 3]
N = np.array(COUNTS)
CHOSEN = [*range(0, 143, 9), 141, 142]
"""Training images of each class."""


def fitted(method_class: type[Method], **config: Any) -> tuple[Any, FakeContext, list[Member]]:
    method, context = method_class(method_class.Config(**config)), FakeContext(COUNTS)
    members = method.build(context)
    method.fit(context, members)
    return method, context, members


def answers(step: Step) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits float64[E, B, C] of the members, targets int64[B], and the rows of a batch."""
    logits = np.stack([output.logits.detach().double().numpy() for output in step.outputs.values()])
    return logits, step.targets.numpy(), np.arange(len(step.targets))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
