"""The contract suite lets good methods pass and finds each broken promise."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ltbench_methods.baseline import Baseline
from ltbench_methods.experts import Experts
from tiny import settings
from torch import Tensor, nn

from ltbench.errors import LtbenchError
from ltbench.method import Member, MethodConfig, MethodContext
from ltbench.testing import check_method
from ltbench.training.optim import OptimConfig


def test_a_class_is_known_by_what_it_is_registered_as() -> None:
    check_method(Experts, Experts.Config(ood="outlier_exposure", optim=OptimConfig(epochs=1, batch_size=32)))


class Variant(Baseline):
    """Registered by nobody, which is no obstacle."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return super().loss(logits, targets) + 1e-3 * logits.square().mean()


class NeedsWhatItDoesNotRequire(Baseline):
    def fit(self, context: MethodContext, members: list[Member]) -> None:
        context.stage("baseline")


def test_a_method_that_is_not_registered() -> None:
    check_method(Variant)
    with pytest.raises(LtbenchError, match="asks for the stage of 'baseline' but its spec requires none"):
        check_method(NeedsWhatItDoesNotRequire)


class Nobody(Baseline):
    def build(self, context: MethodContext) -> list[Member]:
        return []


class OneNameTwice(Baseline):
    def build(self, context: MethodContext) -> list[Member]:
        return [*super().build(context), *super().build(context)]


class Changed(Baseline):
    """Builds as the baseline does, then changes the member."""

    def build(self, context: MethodContext) -> list[Member]:
        (member,) = super().build(context)
        return [self.changed(member)]

    def changed(self, member: Member) -> Member:
        raise NotImplementedError


class Unsorted(Changed):
    def changed(self, member: Member) -> Member:
        return Member("all", member.classes.flip(0), member.backbone, member.head)


class UnknownClass(Changed):
    def changed(self, member: Member) -> Member:
        return Member("all", member.classes + 1, member.backbone, member.head)


class ListOfClasses(Changed):
    def changed(self, member: Member) -> Member:
        member.classes = member.classes.tolist()
        return member


class PartialButSaysNone(Changed):
    def changed(self, member: Member) -> Member:
        return Member("all", member.classes[:4], member.backbone, nn.Linear(32, 4))


class NoRejectLogit(Changed):
    def changed(self, member: Member) -> Member:
        return Member("all", member.classes[:4], member.backbone, nn.Linear(32, 4), "reject")


class PlainModule(Changed):
    def changed(self, member: Member) -> Member:
        return Member("all", member.classes, nn.Sequential(nn.Flatten(), nn.Linear(256, 32)), member.head)


class TrainsNothing(Baseline):
    def fit(self, context: MethodContext, members: list[Member]) -> None:
        return


class Explodes(Baseline):
    def fit(self, context: MethodContext, members: list[Member]) -> None:
        nn.init.constant_(members[0].head.weight, float("nan"))


class SpoilsTheData(Baseline):
    def fit(self, context: MethodContext, members: list[Member]) -> None:
        super().fit(context, members)
        context.train_split.labels.clamp_(max=4)


class KeepsMoreThanItsWeights(Baseline):
    """A temperature that is no parameter and no buffer is lost when the members are rebuilt."""

    class Head(nn.Linear):
        scale = 1.0

        def forward(self, features: Tensor) -> Tensor:
            return self.scale * super().forward(features)

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return self.Head(num_features, num_classes)

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        super().fit(context, members)
        members[0].head.scale = 2.0  # type: ignore[assignment]


class Unseeded(Baseline):
    def fit(self, context: MethodContext, members: list[Member]) -> None:
        with torch.no_grad():
            members[0].head.weight.add_(torch.randn(6, 32, generator=NOISE))


NOISE = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("cls", "complaint"),
    [
        (Nobody, "at least one, each with a name of its own"),
        (OneNameTwice, r"\['all', 'all'\]: at least one, each with a name of its own"),
        (Unsorted, r"classes must be ascending ids from 0 to 5, got \[5, 4"),
        (UnknownClass, r"classes must be ascending ids from 0 to 5, got .* 6\]"),
        (ListOfClasses, r"classes must be int64\[K\]"),
        (PartialButSaysNone, "a member over 4 of 6 classes says outside = reject or zero, not 'none'"),
        (NoRejectLogit, r"logits have shape \(2, 4\), not \(2, 5\)"),
        (PlainModule, "its backbone is no ltbench.backbones.backbone.Backbone"),
        (TrainsNothing, "fit changes no weight"),
        (Explodes, "'all.head.weight' is not finite after fit"),
        (SpoilsTheData, r"fit changes the data \(training labels\)"),
        (KeepsMoreThanItsWeights, "built again and given the stored weights, it answers differently"),
        (Unseeded, r"training twice with one seed gives two sets of weights \('all.head.weight' differs\)"),
    ],
)
def test_a_broken_promise_is_named(cls: type[Baseline], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint) as caught:
        check_method(cls)
    assert cls.__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


class Slow(Baseline):
    class Config(MethodConfig):
        optim: OptimConfig = OptimConfig(epochs=1000, min_steps=10**6)
        other: OptimConfig = OptimConfig(epochs=1)
        checkpoint: Path | None = None

    seen: list[Any] = []  # noqa: RUF012

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        self.seen.append(self.config)
        super().fit(context, members)


def test_without_a_configuration_trainings_are_cut_short() -> None:
    check_method(Slow)
    assert {(config.optim.epochs, config.optim.min_steps, config.other.epochs) for config in Slow.seen} == {(2, 0, 1)}


PLUGIN = """
from ltbench.plugin import DatasetSpec, MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline

@hookimpl
def ltbench_methods():
    yield MethodSpec("mine", target="method_to_test:Mine")

@hookimpl
def ltbench_datasets():
    yield DatasetSpec("patterns", target="ltbench.testing.method_contract:Patterns")

class Mine(Baseline):
    def fit(self, context, members):
        {fit}
"""


@pytest.mark.parametrize(
    ("fit", "code", "line"),
    [
        ("super().fit(context, members)", 0, "ok      method 'mine'"),
        ("pass", 3, "FAILED  method 'mine': Mine, member 'all': fit changes no weight"),
    ],
)
def test_plugin_test_checks_methods(ltb, tmp_path: Path, monkeypatch, fit: str, code: int, line: str) -> None:
    path = tmp_path / "method_to_test.py"
    path.write_text(PLUGIN.format(fit=fit))
    done = ltb("plugin", "test", path)
    assert done.code == code
    assert done.out.splitlines()[1].startswith(line)


def test_the_baseline_learns_the_patterns_that_methods_are_checked_on(ltb, tmp_path: Path) -> None:
    """The whole way, from images to the record: six classes, of which the rarest has six training images."""
    path = tmp_path / "patterns_plugin.py"
    path.write_text(PLUGIN.format(fit="pass"))
    small = settings(
        backbone={"name": "resnet10", "kwargs": {"widths": [16, 16, 32, 32], "stem_kernel": 3, "max_pool": False}},
        baseline={"optim": {"epochs": 8, "batch_size": 32, "lr": 0.1}},
    )
    done = ltb("--plugin", path, "run", "-m", "baseline", "-d", "patterns", *small, "--json")
    assert done.code == 0, done.err
    accuracy = json.loads(done.out)["records"][0]["metrics"]["paper"]
    assert accuracy["many"] > 80
    assert accuracy["all"] > 60
