"""cRT, LWS and tau-norm: what they train on, what they start from, what they leave alone, what tau is chosen by."""

import numpy as np
import pytest
import torch
from ltbench_zoo.crt import RetrainedClassifier
from ltbench_zoo.heads import ScaledHead
from ltbench_zoo.lws import LearnedScales
from ltbench_zoo.second_stage import SecondStage
from ltbench_zoo.tau_norm import TauNormalised, normalised
from methods.drawn import long_tailed, on_features
from torch import Tensor
from torch.nn import functional as F

from ltbench.data import TensorSplit
from ltbench.method import Member
from ltbench.testing import FakeContext

COUNTS = [120, 30, 8]


def fitted(method: SecondStage | TauNormalised, context: FakeContext) -> ScaledHead | torch.nn.Linear:
    members = method.build(context)
    method.fit(context, members)
    return members[0].head


def baseline_of(context: FakeContext) -> Member:
    """A copy of the first stage that the context has."""
    (member,) = context.stage("baseline")
    return member


def drawn_context(views: int = 5) -> FakeContext:
    return on_features(*long_tailed(COUNTS, views=views))


@pytest.mark.parametrize("kind", [RetrainedClassifier, LearnedScales])
def test_every_class_is_drawn_as_often_as_any_other(kind: type[SecondStage]) -> None:
    """With instance-balanced batches a second stage would learn the long tail again."""
    context = drawn_context()
    fitted(kind(kind.Config(optim={"batch_size": 12})), context)
    labels, sampler = context.train_split.labels, context.trained[-1]["sampler"]
    drawn = labels[sampler.indices(0, torch.Generator().manual_seed(0))]
    assert len(drawn) == sum(COUNTS)
    assert np.ptp(torch.bincount(drawn).numpy()) <= 4
    assert (drawn[:156].reshape(-1, 4) == drawn[:156:4, None]).all(), "four of a class in a row"
    assert len(context.trained[-1]["features"]) == 5


def test_crt_begins_anew() -> None:
    context = drawn_context()
    head = fitted(RetrainedClassifier(), context)
    assert not torch.equal(head.weight, baseline_of(context).head.weight)
    assert all(parameter.requires_grad for parameter in head.parameters())


def test_lws_learns_scales_alone_and_starts_as_the_baseline() -> None:
    context = drawn_context()
    head = fitted(LearnedScales(), context)
    assert [name for name, value in head.named_parameters() if value.requires_grad] == ["scales"]
    features = torch.randn(7, 3)
    assert torch.equal(head(features), baseline_of(context).head(features))
    with torch.no_grad():
        head.scales.copy_(torch.tensor([2.0, 0.5, -1.0]))
    expected = np.array([2, 0.5, -1]) * baseline_of(context).head(features).detach().numpy()
    assert np.allclose(head(features).detach(), expected)


@pytest.mark.parametrize("tau", [0.0, 0.7, 1.0, 2.0])
def test_tau_norm_divides_by_the_power_of_the_norm_and_drops_the_bias(tau: float) -> None:
    context = drawn_context()
    head = fitted(TauNormalised(TauNormalised.Config(tau=tau)), context)
    w = baseline_of(context).head.weight.detach().numpy()
    assert np.allclose(head.weight.detach(), w / np.linalg.norm(w, axis=1)[:, None] ** tau, rtol=1e-5)
    assert head.bias is None


def labels_at(weight: Tensor, features: Tensor, tau: float) -> Tensor:
    return (features @ normalised(weight, tau).T).argmax(dim=1)


def test_tau_is_chosen_on_validation_and_on_nothing_else() -> None:
    """The training split is labelled so that it would choose 2, the validation split so that it chooses 0.5."""
    train, _ = long_tailed([200, 200, 200])
    val = torch.randn(1, 3000, 3, generator=torch.Generator().manual_seed(2))
    baseline = baseline_of(on_features(*long_tailed([200, 200, 200])))
    weight = F.normalize(baseline.head.weight.detach()) * torch.tensor([[4.0], [1.0], [0.3]])
    with torch.no_grad():
        baseline.head.weight.copy_(weight)
    labels = labels_at(weight, train[0], 2.0)
    context = FakeContext(labels=labels, features=train, val_features=val, stages={"baseline": [baseline]})
    context.val_split = TensorSplit(torch.zeros(3000, 1, 4, 4, dtype=torch.uint8), labels_at(weight, val[0], 0.5))
    head = fitted(TauNormalised(), context)
    assert context.logged == [{"member": "all", "tau": 0.5}]
    assert torch.allclose(head.weight, F.normalize(weight) * weight.norm(dim=1, keepdim=True) ** 0.5)
