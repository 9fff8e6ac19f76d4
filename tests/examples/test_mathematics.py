"""What the examples compute, against numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ltbench.method import Member
from ltbench.testing import FakeContext
from ltbench.training.step import Step

from .table import example

COUNTS = [90, 40, 10, 3]
N = np.array(COUNTS)
CHOSEN = [*range(0, 143, 9), 141, 142]
"""Training images of each class."""


def fitted(name: str, cls: str, stages: tuple[str, ...] = (), **config: Any) -> tuple[Any, FakeContext, list[Member]]:
    """A method after a fit that trains nothing."""
    method_class = getattr(example(name), cls)
    context, method = FakeContext(COUNTS, stages=stages), method_class(method_class.Config(**config))
    members = method.build(context)
    method.fit(context, members)
    return method, context, members


def answers(step: Step) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits float64[B, 4] of the only member, targets int64[B], and the rows of a batch."""
    (output,) = step.outputs.values()
    return output.logits.detach().double().numpy(), step.targets.numpy(), np.arange(len(step.targets))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("tau", [1.0, 1.7])
def test_logit_adjustment_adds_tau_times_the_log_prior(tau: float) -> None:
    method, context, (member,) = fitted("logit_adjustment", "LogitAdjusted", tau=tau)
    step = context.step(member, CHOSEN)
    logits, targets, rows = answers(step)
    odds = np.exp(logits) * (N / N.sum()) ** tau
    expected = -np.log(odds[rows, targets] / odds.sum(axis=1)).mean()
    assert float(method.objective(step)) == pytest.approx(expected, rel=1e-5)
    rare, common = (float(method.loss(torch.zeros(1, 4), torch.tensor([label]))) for label in (3, 0))
    assert rare > common, "the sign: what is rare is pushed further"


@pytest.mark.parametrize(("epoch", "weighted"), [(0, False), (7, False), (8, True), (9, True)])
def test_ldam_has_larger_margins_for_rarer_classes_and_weights_late(epoch: int, weighted: bool) -> None:
    method, context, (member,) = fitted("ldam_drw", "LDAM", max_margin=0.4, scale=20.0, beta=0.99)
    step = context.step(member, CHOSEN, epoch=epoch, epochs=10)
    logits, targets, rows = answers(step)
    margins = 0.4 * np.array([(3 / 90) ** 0.25, (3 / 40) ** 0.25, (3 / 10) ** 0.25, 1.0])
    moved = logits.copy()
    moved[rows, targets] -= 20 * margins[targets]
    losses = -log_softmax(moved)[rows, targets]
    weights = 1 / ((1 - 0.99**N) / (1 - 0.99))
    of_samples = np.repeat(weights, N)
    expected = (losses * weights[targets] / of_samples.mean()).mean() if weighted else losses.mean()
    assert float(method.objective(step)) == pytest.approx(expected, rel=1e-4)


def test_ldam_s_logits_are_scaled_cosines() -> None:
    _, context, (member,) = fitted("ldam_drw", "LDAM", scale=20.0)
    (output,) = context.step(member, CHOSEN).outputs.values()
    features, weight = output.features.detach().numpy(), member.head.weight.detach().numpy()
    lengths = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(weight, axis=1)
    np.testing.assert_allclose(output.logits.detach().numpy(), 20 * features @ weight.T / lengths, rtol=1e-4, atol=1e-4)


def test_label_aware_smoothing_smooths_common_classes_more() -> None:
    method, _, (member,) = fitted("mixup_smoothing", "LabelAware", stages=("mixed-images",), most=0.3)
    assert [name for name, value in member.module.named_parameters() if value.requires_grad] == ["head.scale"]
    smoothing = 0.3 * np.sin(np.pi / 2 * (N - 3) / (90 - 3))
    assert (smoothing[0], smoothing[3]) == (pytest.approx(0.3), 0)
    logits, targets = np.random.default_rng(1).normal(size=(9, 4)), np.arange(9) % 4
    log_p, rows, eps = log_softmax(logits), np.arange(9), smoothing[targets]
    own = log_p[rows, targets]
    expected = -((1 - eps) * own + eps / 3 * (log_p.sum(axis=1) - own)).mean()
    assert float(method.loss(torch.tensor(logits), torch.tensor(targets))) == pytest.approx(expected)


def test_three_experts_are_rewarded_for_their_distance_from_the_mean() -> None:
    method, context, members = fitted("three_experts", "ThreeExperts", diversity=0.3)
    step = context.step(members, CHOSEN)
    logits = [output.logits.detach().double().numpy() for output in step.outputs.values()]
    targets, rows = step.targets.numpy(), np.arange(len(step.targets))
    log_p, log_mean = [log_softmax(each) for each in logits], log_softmax(sum(logits) / 3)
    entropy = sum(-each[rows, targets].mean() for each in log_p)
    distance = sum((np.exp(log_mean) * (log_mean - each)).sum(axis=1).mean() for each in log_p)
    found = method.objective(step)
    assert float(found["diversity"]) == pytest.approx(distance, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(entropy - 0.3 * distance, rel=1e-4)


def test_distillation_is_the_divergence_from_the_teacher_at_a_temperature() -> None:
    method, context, (member,) = fitted("distillation", "Distilled", stages=("baseline",), weight=0.3, temperature=3.0)
    step = context.step(member, CHOSEN)
    logits, targets, rows = answers(step)
    (teacher,) = context.stage("baseline")
    with torch.no_grad():
        taught = log_softmax(teacher.module(step.images).double().numpy() / 3)
    distance = 9 * (np.exp(taught) * (taught - log_softmax(logits / 3))).sum(axis=1).mean()
    entropy = -log_softmax(logits)[rows, targets].mean()
    assert float(method.objective(step)["loss"]) == pytest.approx(0.7 * entropy + 0.3 * distance, rel=1e-4)


def test_sharpness_aware_goes_down_the_gradient_found_up_the_hill() -> None:
    method, context, (member,) = fitted("sharpness_aware", "SharpnessAware", rho=0.2)
    step, weights = context.step(member, CHOSEN), list(member.module.parameters())
    before = [weight.detach().clone() for weight in weights]

    def gradient(at: list[torch.Tensor]) -> list[torch.Tensor]:
        leaves = [value.clone().requires_grad_() for value in at]
        names = [name for name, _ in member.module.named_parameters()]
        logits = torch.func.functional_call(member.module, dict(zip(names, leaves, strict=True)), step.images)
        return list(torch.autograd.grad(F.cross_entropy(logits, step.targets), leaves))

    slope = gradient(before)
    length = np.sqrt(sum(float(part.square().sum()) for part in slope))
    above = gradient([value + 0.2 / length * part for value, part in zip(before, slope, strict=True)])
    method.update(step, torch.optim.SGD(weights, lr=0.1))
    for weight, start, part in zip(weights, before, above, strict=True):
        torch.testing.assert_close(weight.detach(), start - 0.1 * part, rtol=1e-4, atol=1e-6)


def test_the_average_remembers_a_tenth_of_the_steps() -> None:
    optim = {"epochs": 50, "batch_size": 13}
    _, context, _ = fitted("weight_average", "Averaged", optim=optim)
    assert context.trained[0]["optim"].ema == pytest.approx(1 - 1 / (0.1 * 50 * 143 / 13))
