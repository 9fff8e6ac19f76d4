"""RIDE: each expert's loss, the diversity and its sign, the temperatures by hand; the trunk is run once a step."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ltbench_zoo.heads import CosineHead
from ltbench_zoo.ride import RIDE, divergence, relative_temperatures
from pydantic import ValidationError
from torch import nn

from ltbench.engine.context import StageContext
from ltbench.testing.method_contract import workbench
from ltbench.training.optim import OptimConfig

from .fitted import CHOSEN, N, answers, fitted, log_softmax

ETA, BETA = 0.3, 0.99
CONFIG = {"own_blocks": 1, "scale": 12.0, "diversity": -0.3, "reweight_factor": ETA, "beta": BETA, "temperature": 1.5}


def temperatures(late: bool) -> np.ndarray:
    relative = ETA * 4 * N / N.sum() + 1 - ETA
    return 1.5 * relative / relative.max() if late else np.full(4, 1.5)


def divergence_by_hand(logits: np.ndarray, t: np.ndarray) -> float:
    log_mean = log_softmax(logits.mean(axis=0) / t)
    each = [(np.exp(log_mean) * (log_mean - log_softmax(z / t))).sum(axis=1).mean() for z in logits]
    return float(t.mean() ** 2 * sum(each))


@pytest.mark.parametrize(("epoch", "late"), [(0, False), (7, False), (8, True), (9, True)])
def test_the_loss_by_hand(epoch: int, late: bool) -> None:
    method, context, members = fitted(RIDE, **CONFIG)
    step = context.step(members, CHOSEN, epoch=epoch, epochs=10)
    logits, y, rows = answers(step)
    lowered = logits.copy()
    lowered[:, rows, y] -= 12 * 0.5 * ((N / 3.0) ** -0.25)[y]
    weights = (1 - BETA) / (1 - BETA**N) if late else np.ones(4)
    own = sum(-(weights[y] * log_softmax(z)[rows, y]).sum() / weights[y].sum() for z in lowered)
    apart = divergence_by_hand(logits, temperatures(late))
    with torch.no_grad():
        found = method.objective(step)
    assert float(found["divergence"]) == pytest.approx(apart, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(own - 0.3 * apart, rel=1e-4)


def test_rare_classes_get_the_lower_temperature() -> None:
    found = relative_temperatures(torch.from_numpy(N), ETA)
    assert np.allclose(1.5 * found, temperatures(late=True))
    assert found[0] == 1
    assert (found.diff() < 0).all()


def test_experts_are_rewarded_for_being_apart() -> None:
    """With the sign turned round they become three copies of one expert."""
    torch.manual_seed(0)
    one, others = torch.randn(1, 8, 4), torch.randn(3, 8, 4)
    alike, apart = (float(divergence(one + far * others, torch.ones(4))) for far in (0.0, 1.0))
    assert alike == pytest.approx(0, abs=1e-6)
    assert apart > 0.1
    assert RIDE().config.diversity == -0.2
    with pytest.raises(ValidationError):
        RIDE.Config(diversity=0.2)


def test_the_gradient_is_that_of_a_mean_that_stands_still() -> None:
    """By hand softmax(z_e) - softmax(mean), over the samples."""
    torch.manual_seed(0)
    logits = torch.randn(3, 8, 4, dtype=torch.float64, requires_grad=True)
    divergence(logits, torch.ones(4, dtype=torch.float64)).backward()
    expected = (logits.softmax(dim=2) - logits.mean(dim=0).softmax(dim=1)).detach() / 8
    assert torch.allclose(logits.grad, expected)


def test_so_many_experts_as_asked_for_with_cosine_classifiers_of_their_own() -> None:
    _, _, members = fitted(RIDE, own_blocks=1, experts=5, scale=7.0)
    assert [member.name for member in members] == [f"expert{number}" for number in range(1, 6)]
    heads = [member.head for member in members]
    assert all(isinstance(head, CosineHead) and float(head.scale) == 7 for head in heads)
    assert not torch.equal(heads[0].weight, heads[1].weight)


class Counted:
    """How often a module is run in training."""

    def __init__(self, module: nn.Module) -> None:
        self.times = 0
        module.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: object, output: object) -> None:
        self.times += module.training


def test_the_trunk_is_run_once_a_step_and_the_own_stages_once_each(tmp_path: Path) -> None:
    method = RIDE(RIDE.Config(optim=OptimConfig(epochs=1, batch_size=64, lr=0.01)))
    context = StageContext("ride", workbench(tmp_path), tmp_path, {})
    members = method.build(context)
    trunks = [member.backbone.trunk for member in members]
    assert len({id(trunk.layer2[0].conv1) for trunk in trunks}) == 1
    shared = [Counted(trunks[0].conv1), Counted(trunks[0].layer2[0].conv1)]
    own = [Counted(getattr(trunk, layer)[0].conv1) for trunk in trunks for layer in ("layer3", "layer4")]
    method.fit(context, members)
    steps = math.ceil(len(context.train_split) / 64)
    assert [each.times for each in shared] == [steps] * 2
    assert [each.times for each in own] == [steps] * 6
