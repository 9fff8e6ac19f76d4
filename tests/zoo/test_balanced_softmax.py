"""Balanced softmax: its loss by hand, and which way it shifts."""

import numpy as np
import torch
from ltbench_zoo.balanced_softmax import BalancedSoftmax

from .steps import COUNTS, drawn, knowing


def test_the_loss_is_equation_4() -> None:
    logits, targets = drawn()
    z, y = logits.numpy(), targets.numpy()
    weighed = np.array(COUNTS) * np.exp(z)
    expected = -np.log(weighed[np.arange(len(y)), y] / weighed.sum(axis=1)).mean()
    assert np.isclose(float(knowing(BalancedSoftmax()).loss(logits, targets)), expected)


def test_a_rare_class_needs_a_larger_logit_than_a_frequent_one() -> None:
    """With the sign turned round the rare class would be the cheap one, and Few would fall below the baseline."""
    loss, even = knowing(BalancedSoftmax()).loss, torch.zeros(1, 4)
    assert loss(even, torch.tensor([3])) > np.log(4) > loss(even, torch.tensor([0]))


def test_the_classifier_answers_without_the_counts() -> None:
    """What stands in the loss must not stand in the answer, too."""
    head = BalancedSoftmax().head(3, 4)
    features = torch.randn(5, 3)
    assert torch.equal(head(features), features @ head.weight.T + head.bias)
