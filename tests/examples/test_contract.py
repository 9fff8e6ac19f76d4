"""The examples keep the promises of the public contract suite; what is frozen stays, and a shared trunk is run once."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import Outcome, settings
from torch import nn

from ltbench.config import BackboneConfig, ComputeConfig
from ltbench.engine.context import StageContext
from ltbench.engine.machine.compute import Compute
from ltbench.testing.method_contract import workbench
from ltbench.training.optim import OptimConfig

from .table import FILES, TRANSFORMER, example

OPTIM = OptimConfig(epochs=2, batch_size=32, lr=0.05)
SAMPLES, VAL_SAMPLES = 318, 48
"""Of the patterns that methods are checked on."""


@pytest.mark.parametrize("file", [file for file in FILES if file.stem != "vit_adapters"], ids=lambda file: file.stem)
def test_plugin_test_passes(ltb: Callable[..., Outcome], file: Path) -> None:
    done = ltb("plugin", "test", file)
    assert done.code == 0, done.out
    assert all(line.startswith("ok ") for line in done.out.splitlines())


def test_adapters_pass_on_the_networks_that_they_are_for(ltb: Callable[..., Outcome]) -> None:
    file = next(file for file in FILES if file.stem == "vit_adapters")
    small = settings(backbone={"kwargs": TRANSFORMER["kwargs"]})
    done = ltb("plugin", "test", file, "--backbone", TRANSFORMER["name"], *small, "--set", "adapters.width=4")
    assert done.code == 0, done.out
    assert done.out.splitlines()[-1] == "ok      method 'adapters'"
    done = ltb("plugin", "test", file)
    assert done.code == 3
    assert "adapters are for vision transformers" in done.out


def test_what_adapters_freeze_is_bit_identical_after_training(tmp_path: Path) -> None:
    context = StageContext(
        "adapters", workbench(tmp_path, BackboneConfig.model_validate(TRANSFORMER)), tmp_path, required={}
    )
    adapters = example("vit_adapters").Adapters
    method = adapters(adapters.Config(optim=OPTIM.model_copy(update={"optimizer": "adamw", "lr": 0.003})))
    (member,) = members = method.build(context)
    before = {name: value.clone() for name, value in member.module.state_dict().items()}
    plain = context.new_backbone().state_dict()
    method.fit(context, members)
    after = member.module.state_dict()
    learned = {name for name, value in after.items() if not torch.equal(value, before[name])}
    adapted = {name for name in before if ".mlp.up." in name or ".mlp.down." in name}
    assert len(adapted) == 2 * 4
    assert learned == adapted | {"head.weight", "head.bias"}
    frozen = {name.replace(".mlp.frozen.", ".mlp."): value for name, value in after.items() if name not in learned}
    assert frozen.keys() == {f"backbone.{name}" for name in plain}
    for name, value in plain.items():
        assert torch.equal(frozen[f"backbone.{name}"], value), name


class Counted:
    """How often a module is run."""

    def __init__(self, module: nn.Module) -> None:
        self.training = self.evaluated = 0
        module.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: object, output: object) -> None:
        if module.training:
            self.training += 1
        else:
            self.evaluated += 1


def test_three_experts_run_their_trunk_once_a_step_and_once_an_evaluation_batch(tmp_path: Path) -> None:
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", eval_batch_size=10))
    bench = dataclasses.replace(workbench(tmp_path), compute=compute)
    bench.features.compute = compute
    context = StageContext("three-experts", bench, tmp_path, {})
    experts = example("three_experts").ThreeExperts
    method = experts(experts.Config(optim=OPTIM))
    members = method.build(context)
    trunk = Counted(members[0].backbone.trunk.conv1)
    own = [Counted(member.backbone.trunk.layer4[0].conv1) for member in members]
    method.fit(context, members)
    steps, validations = OPTIM.epochs * math.ceil(SAMPLES / 32), OPTIM.epochs * math.ceil(VAL_SAMPLES / 10)
    tried = 1 + len(members)
    """Runs on two images that show that sharing changes nothing: shared, and each alone."""
    assert trunk.training == steps
    assert trunk.evaluated == validations + tried
    assert [each.training for each in own] == [steps] * 3
    assert [each.evaluated for each in own] == [validations + 2] * 3

    trunk.evaluated = 0
    bench.features.logits(members, "val", bench.val)
    assert trunk.evaluated == math.ceil(VAL_SAMPLES / 10) + tried
