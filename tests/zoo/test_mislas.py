"""MiSLAS: smoothing and loss by hand; statistics are learned again, weights below the classifier are not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ltbench_zoo.heads import ScaledHead
from ltbench_zoo.mislas import MiSLAS, only_look, smoothing_of
from methods.drawn import long_tailed
from torch import nn

from ltbench.testing import FakeContext
from ltbench.training.step import Clock, Engine, Minibatch, Output, Step

from .steps import COUNTS, drawn, softmax


def smoothing_by_hand(head: float = 0.3, tail: float = 0.0) -> np.ndarray:
    n = np.array(COUNTS)
    return tail + (head - tail) * np.sin(np.pi * (n - n.min()) / (2 * (n.max() - n.min())))


def test_smoothing_goes_from_head_to_tail_along_a_sine() -> None:
    found = smoothing_of(torch.tensor(COUNTS), 0.3, 0.1)
    assert np.allclose(found, smoothing_by_hand(0.3, 0.1))
    assert (found[0], found[3]) == (pytest.approx(0.3), pytest.approx(0.1))
    assert torch.equal(smoothing_of(torch.tensor([7, 7]), 0.3, 0.1), torch.tensor([0.1, 0.1])), "balanced counts"


def test_the_loss_is_smoothed_cross_entropy_by_the_own_class() -> None:
    logits, targets = drawn()
    method = MiSLAS()
    method.context = SimpleNamespace(classes=SimpleNamespace(train_counts=torch.tensor(COUNTS)))  # type: ignore[assignment]
    e, rows = smoothing_by_hand()[targets.numpy()], np.arange(len(targets))
    soft = np.repeat(e[:, None] / 4, 4, axis=1)
    soft[rows, targets.numpy()] += 1 - e
    expected = -(soft * np.log(softmax(logits))).sum(axis=1).mean()
    assert np.isclose(float(method.loss(logits, targets)), expected)


def test_looking_learns_statistics_and_nothing_else() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images, targets = 5 + torch.randn(16, 3), torch.randint(3, (16,))
    places = torch.arange(16)
    engine = Engine(lambda x: {"all": Output(network(x), x)}, torch.Generator, None, lambda values, batch: values)
    step = Step(Minibatch((images,), targets, places, places, 16), Clock(0, 1, 0, 1), engine)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, weight_decay=1.0)
    only_look(step, optimizer)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_statistics_come_first_and_from_class_balanced_images() -> None:
    features, labels = long_tailed([120, 30, 8], views=5)
    context, method = FakeContext(labels=labels, features=features, stages=["mixup"]), MiSLAS()
    members = method.build(context)
    method.fit(context, members)
    statistics, classifier = context.trained
    assert "features" not in statistics
    assert statistics["optim"].epochs == 1
    drawn_labels = labels[statistics["sampler"].indices(0, torch.Generator().manual_seed(0))]
    assert torch.bincount(drawn_labels).min() > 35
    assert len(classifier["features"]) == 5
    head = members[0].head
    assert isinstance(head, ScaledHead)
    assert torch.equal(head.linear.weight, context.stage("mixup")[0].head.weight)
    assert {name for name, value in head.named_parameters() if value.requires_grad} == {
        "scales",
        "linear.weight",
        "linear.bias",
    }
