"""Baseline: it learns, starts from files, and asks for the loss and the sampler that a subclass overrides."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ltbench_methods.baseline import Baseline
from safetensors.torch import load_file, save_file
from tiny import DATA, TINY, settings
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import ClassBalancedSampler, EpochSampler
from ltbench.method import MethodContext
from ltbench.results.logits import read_logits
from ltbench.testing import FakeContext

from .drawn import epochs


def run(ltb, *arguments: str) -> dict[str, Any]:
    done = ltb("run", "-m", "baseline", *arguments, "--json")
    assert done.code == 0, done.err
    answer: dict[str, Any] = json.loads(done.out)
    return answer


def stage_of(answer: dict[str, Any]) -> Path:
    (stage,) = answer["stages"]
    return Path(stage["folder"])


def test_it_passes_over_every_sample_with_cross_entropy() -> None:
    context = FakeContext([5, 3, 2])
    method = Baseline()
    (member,) = members = method.build(context)
    method.fit(context, members)
    (asked,) = context.trained
    assert (member.classes.tolist(), member.outside) == ([0, 1, 2], "none")
    assert sorted(epochs(asked["sampler"], 1)[0].tolist()) == list(range(10))
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    assert torch.isclose(asked["loss"](logits, targets), F.cross_entropy(logits, targets))


class Variant(Baseline):
    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return nn.Linear(num_features, num_classes, bias=False)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits + self.context.classes.train_counts.log(), targets)

    def sampler(self, context: MethodContext) -> EpochSampler:
        return ClassBalancedSampler(context.train_split.labels)


def test_a_subclass_changes_loss_sampler_and_head() -> None:
    context = FakeContext([5, 3, 2])
    method = Variant()
    (member,) = members = method.build(context)
    method.fit(context, members)
    (asked,) = context.trained
    assert [tuple(value.shape) for value in member.head.parameters()] == [(3, 4)]
    assert isinstance(asked["sampler"], ClassBalancedSampler)
    p = torch.tensor([5.0, 3.0, 2.0]) / 10
    assert float(asked["loss"](torch.zeros(1, 3), torch.tensor([1]))) == pytest.approx(-float(p[1].log()))


@pytest.fixture
def trained(ltb) -> Path:
    """The stage of the tiny baseline."""
    return stage_of(run(ltb, *TINY))


AS_IT_IS = settings(baseline={"optim": {"epochs": 0}})


def test_without_epochs_a_checkpoint_is_used_as_it_is(ltb, trained: Path, tmp_path: Path) -> None:
    weights = load_file(trained / "weights.safetensors")
    plain = {
        name.removeprefix("all.backbone.trunk.").replace("all.head.", "fc."): value for name, value in weights.items()
    }
    torch.save({"state_dict": {f"module.{name}": value for name, value in plain.items()}}, tmp_path / "plain.pth")
    expected = read_logits(trained / "logits")
    for file in (trained / "weights.safetensors", tmp_path / "plain.pth"):
        again = read_logits(stage_of(run(ltb, *DATA, *AS_IT_IS, "--set", f"baseline.checkpoint={file}")) / "logits")
        assert torch.equal(again.test.members[0].logits, expected.test.members[0].logits)
        assert torch.equal(again.val.members[0].logits, expected.val.members[0].logits)


def test_the_same_weights_in_another_model_are_not_answered_from_the_cache(ltb, trained: Path) -> None:
    """Pooling has no weights: all files are the same, but not the features."""
    file = f"baseline.checkpoint={trained / 'weights.safetensors'}"
    other = settings(backbone={"kwargs": {"max_pool": True}})
    pooled = read_logits(stage_of(run(ltb, *DATA, *AS_IT_IS, "--set", file, *other)) / "logits")
    expected = read_logits(trained / "logits")
    assert not torch.equal(pooled.test.members[0].logits, expected.test.members[0].logits)


def test_a_projection_is_part_of_a_checkpoint(ltb, trained: Path) -> None:
    wide = settings(backbone={"projection": 24})
    first = stage_of(run(ltb, *TINY, *wide))
    again = stage_of(run(ltb, *DATA, *wide, *AS_IT_IS, "--set", f"baseline.checkpoint={first / 'weights.safetensors'}"))
    ours, theirs = read_logits(again / "logits"), read_logits(first / "logits")
    assert torch.equal(ours.test.members[0].logits, theirs.test.members[0].logits)
    without = ltb(
        "run", "-m", "baseline", *DATA, *wide, "--set", f"baseline.checkpoint={trained / 'weights.safetensors'}"
    )
    assert without.code == 4
    assert "has no 'projection.0.weight'" in without.complaint


def test_only_the_backbone_can_come_from_a_file(ltb, trained: Path) -> None:
    file = trained / "weights.safetensors"
    stage = stage_of(run(ltb, *DATA, *AS_IT_IS, "--set", f"backbone.checkpoint={file}"))
    ours, theirs = load_file(stage / "weights.safetensors"), load_file(file)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value) == (".backbone." in name), name


def spoilt(weights: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    if how == "classes":
        weights["all.head.weight"] = torch.zeros(1000, 32)
    elif how == "headless":
        weights = {name: value for name, value in weights.items() if ".head." not in name}
    else:
        weights["all.backbone.trunk.conv1.weight"] = torch.zeros(64, 3, 7, 7)
    return weights


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("classes", "'head.weight' has shape (1000, 32), the model needs (9, 32)"),
        (
            "headless",
            "holds no classifier (fc, head, head.fc, classifier, last_linear, linear); backbone.checkpoint takes a",
        ),
        ("width", "'conv1.weight' has shape (64, 3, 7, 7), the model needs (16, 1, 3, 3)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_line_and_4(
    ltb, trained: Path, tmp_path: Path, how: str, message: str
) -> None:
    file = tmp_path / "spoilt.safetensors"
    save_file(spoilt(load_file(trained / "weights.safetensors"), how), file)
    done = ltb("run", "-m", "baseline", *DATA, *AS_IT_IS, "--set", f"baseline.checkpoint={file}")
    assert done.code == 4
    assert message in done.complaint
    assert str(file) in done.complaint
