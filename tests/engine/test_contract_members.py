"""Several members trained together, shared trunks, frozen parts, views, loops of one's own: as a method sees them."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.checkpoints import weights_digest
from ltbench.backbones.forks import fork
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.samplers import InstanceSampler
from ltbench.engine.context import StageContext, rebuild, weights_of
from ltbench.engine.fitting import checkpoint
from ltbench.errors import LtbenchError, UsageError
from ltbench.method import Member, Method, OneClassifier
from ltbench.testing import check_method
from ltbench.testing.method_contract import Patterns, workbench
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step

OPTIM = OptimConfig(epochs=2, batch_size=32, lr=0.05)
CLASSES = torch.arange(6)
STEPS, VALIDATIONS = -(-318 // 32), 1


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Of a method called ``toy``; images are not augmented in training."""
    plain = Augment(AugmentConfig(), Patterns.mean, Patterns.std)
    return StageContext("toy", dataclasses.replace(workbench(tmp_path), augment=plain), tmp_path, {})


class Forked(Method):
    """Three heads on one trunk, each with the last stage of its own, as RIDE has them (Wang et al. 2021)."""

    own_blocks = 1

    def build(self, context) -> list[Member]:
        backbones = fork(context.new_backbone(), self.own_blocks, 3)
        return [
            Member(f"expert{number}", CLASSES, backbone, nn.Linear(backbone.num_features, 6))
            for number, backbone in enumerate(backbones)
        ]

    def fit(self, context, members: list[Member]) -> None:
        context.train(members, optim=OPTIM, objective=self.objective)

    def objective(self, step: Step) -> dict[str, Tensor]:
        logits = torch.stack([output.logits for output in step.outputs.values()])
        losses = [F.cross_entropy(each, step.targets) for each in logits]
        mean = logits.mean(dim=0).log_softmax(dim=1).exp().detach()
        diversity = -F.kl_div(logits.log_softmax(dim=2), mean.expand_as(logits), reduction="batchmean") / len(logits)
        return {"loss": torch.stack(losses).sum() + 0.2 * diversity, "diversity": diversity}


class Shared(Forked):
    """Three heads on the very same backbone."""

    own_blocks = 0


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


@pytest.mark.parametrize("method", [Forked, Shared])
def test_a_shared_trunk_is_run_once_a_step_and_once_a_validation_batch(context: StageContext, method) -> None:
    members = method().build(context)
    trunk, own = Counted(members[0].backbone.trunk.layer1), [Counted(each.backbone.trunk.layer4) for each in members]
    assert members[1].backbone.trunk.layer1 is members[0].backbone.trunk.layer1
    assert (members[1].backbone is members[0].backbone) == (method is Shared)
    tried = {Forked: 2, Shared: 0}[
        method
    ]  # by the check that tracing changed nothing: once traced, once for each whole
    method().fit(context, members)
    assert trunk.training == 2 * STEPS
    assert trunk.evaluated == 2 * VALIDATIONS + (1 + 3 if tried else 0)
    if method is Forked:
        assert [each.training for each in own] == [2 * STEPS] * 3
        assert not torch.equal(
            members[0].backbone.trunk.layer4[0].conv1.weight, members[1].backbone.trunk.layer4[0].conv1.weight
        )


def test_a_shared_trunk_learns_from_all_as_if_each_had_been_run_alone(context: StageContext) -> None:
    """One step of plain SGD, against autograd on the members themselves."""
    one = OptimConfig(epochs=1, batch_size=318, lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")
    members, reference = Forked().build(context), Forked().build(context)
    for ours, theirs in zip(members, reference, strict=True):
        ours.head.load_state_dict(theirs.head.state_dict())
        ours.module.eval(), theirs.module.eval()
    for part in members, reference:
        for member in part:
            for module in member.module.modules():
                if isinstance(module, nn.BatchNorm2d):  # else the trunk's statistics would move thrice below
                    module.momentum = 0.0
    context.train(members, optim=one, sampler=InstanceSampler(318))
    batch = context.train_split.__getitems__(range(318))
    images = context.augment.plain(batch.images)
    for member in reference:
        member.module.train()
    sum(F.cross_entropy(member.module(images), batch.labels) for member in reference).backward()
    for ours, theirs in zip(members, reference, strict=True):
        for (name, parameter), expected in zip(ours.module.named_parameters(), theirs.module.parameters(), strict=True):
            stepped = expected - 0.1 * expected.grad
            torch.testing.assert_close(parameter, stepped, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("method", [Forked, Shared])
def test_shared_weights_are_stored_once_and_rebuilt_right(context: StageContext, tmp_path: Path, method) -> None:
    members = method().build(context)
    method().fit(context, members)
    stored = weights_of(members)
    assert [name for name in stored if name.endswith("trunk.conv1.weight")] == ["expert0.backbone.trunk.conv1.weight"]
    assert sum(name.endswith("layer4.0.conv1.weight") for name in stored) == {Forked: 3, Shared: 1}[method]
    assert sum(name.endswith("head.weight") for name in stored) == 3
    copies = {name: value.clone() for name, value in stored.items()}
    again = rebuild(method(), StageContext("toy", context._workbench, None, {}), lambda: copies)
    for ours, theirs in zip(again, members, strict=True):
        assert weights_digest(ours.module) == weights_digest(theirs.module)


@pytest.mark.parametrize("method", [Forked, Shared])
def test_the_contract_suite_takes_them(method) -> None:
    check_method(method)


def test_extra_entries_are_in_the_stage_s_log(context: StageContext, tmp_path: Path) -> None:
    members = Forked().build(context)
    Forked().fit(context, members)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert all('"diversity": ' in line and '"member": "expert0+expert1+expert2"' in line for line in lines)


def test_of_members_over_other_classes_each_is_validated_on_its_own(context: StageContext) -> None:
    first, second = context.new_backbone(), context.new_backbone()
    members = [
        Member("a", torch.tensor([0, 1]), first, nn.Linear(first.num_features, 2), "zero"),
        Member("b", torch.tensor([2, 3, 4, 5]), second, nn.Linear(second.num_features, 4), "zero"),
    ]
    for member, answer in zip(members, (1, 0), strict=True):
        nn.init.zeros_(member.head.weight)
        with torch.no_grad():
            member.head.bias.copy_(torch.arange(len(member.classes)) == answer)
    result = context.train(members, optim=OptimConfig(epochs=0))
    assert result.best_accuracy == pytest.approx((50.0 + 25.0) / 2)
    seen: set[int] = set()

    def objective(step: Step) -> Tensor:
        seen.update(step.targets.tolist())
        assert step.outputs["b"].logits.shape == (len(step.targets), 4)
        return step.outputs["a"].logits.square().mean()

    context.train(members, optim=OPTIM, objective=objective)
    assert seen == set(range(6)), "dataset class ids"


class Adapted(OneClassifier):
    """Everything is frozen but the head and one layer: what an adapter on a frozen network is."""

    def backbone(self, context):
        backbone = super().backbone(context)
        backbone.requires_grad_(False)
        backbone.trunk.layer4[0].conv2.weight.requires_grad_(True)
        return backbone


@pytest.mark.parametrize("blocks", [None, 1, 2])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_is_frozen_stays_bit_identical(context: StageContext, blocks: int | None, ema: float) -> None:
    method = Adapted(Adapted.Config(optim=OPTIM.model_copy(update={"ema": ema})))
    (member,) = method.build(context)
    before = {name: value.clone() for name, value in member.module.state_dict().items()}
    context.train(member, optim=method.config.optim, learnable_blocks=blocks)
    moved = {name for name, value in member.module.state_dict().items() if not torch.equal(value, before[name])}
    learns = set() if blocks == 1 else {"backbone.trunk.layer4.0.conv2.weight"}
    statistics = {name for name in moved if "running" in name or "num_batches" in name}
    assert moved - statistics == {"head.weight", "head.bias"} | learns
    assert not statistics
    assert member.backbone.trunk.layer4[0].conv2.weight.requires_grad, "narrowed for the training alone"
    assert not member.backbone.trunk.conv1.weight.requires_grad


def test_two_views_of_a_sample_are_two_augmented_versions_of_it(tmp_path: Path) -> None:
    context = StageContext("toy", workbench(tmp_path), tmp_path, {})
    (member,) = OneClassifier().build(context)
    images = context.augment.plain(context.train_split.__getitems__(range(318)).images)
    tables = [AugmentConfig(), AugmentConfig(flip=True, shift=2)]
    flipped = 0

    def objective(step: Step) -> Tensor:
        nonlocal flipped
        assert len(step.views) == len(step.view_outputs) == 2
        assert torch.equal(step.views[0], images[step.indices]), "the first table changes nothing"
        assert step.views[1].shape == step.views[0].shape
        flipped += int((step.views[1] != step.views[0]).flatten(1).any(dim=1).sum())
        one, other = (outputs["all"].features for outputs in step.view_outputs)
        assert step.outputs["all"].features is one
        return (one - other).square().mean() + step.loss_of(F.cross_entropy)

    context.train(member, optim=OPTIM, objective=objective, views=tables)
    assert flipped > 500
    with pytest.raises(UsageError, match=r"^views: at least one is needed, each with the run's augment.size = None"):
        context.train(member, optim=OPTIM, objective=objective, views=[AugmentConfig(size=8)], label="again")


def test_a_run_s_mixing_reaches_the_loss_and_a_method_s_own_replaces_it(tmp_path: Path) -> None:
    bench = dataclasses.replace(workbench(tmp_path), mixing=MixConfig(mixup=1.0))
    context = StageContext("toy", bench, tmp_path, {})
    (member,) = OneClassifier().build(context)
    calls: list[int] = []

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        calls.append(len(targets))
        return F.cross_entropy(logits, targets)

    context.train(member, optim=OPTIM, loss=loss)
    assert len(calls) == 2 * 2 * STEPS, "for the one target and for the other"
    calls.clear()
    context.train(member, optim=OPTIM, loss=loss, mixing=MixConfig(), label="plain")
    assert len(calls) == 2 * STEPS
    calls.clear()
    features = context.features(member.backbone, "train")
    context.train(member, optim=OPTIM, loss=loss, features=features, label="features")
    assert len(calls) == 2 * STEPS, "features are not images"


def test_a_loop_of_one_s_own_reads_batches(context: StageContext) -> None:
    def epoch(number: int, **more: object) -> list:
        return list(context.batches(number, batch_size=50, **more))

    first, again, second = epoch(0), epoch(0), epoch(1)
    order = torch.cat([batch.indices for batch in first])
    assert torch.equal(order.sort().values, torch.arange(318))
    assert torch.equal(order, torch.cat([batch.indices for batch in again]))
    assert not torch.equal(order, torch.cat([batch.indices for batch in second]))
    batch = first[0]
    assert torch.equal(batch.targets.cpu(), context.train_split.labels[batch.indices])
    plain = context.augment.plain(context.train_split.__getitems__(batch.indices.tolist()).images)
    torch.testing.assert_close(batch.views[0].cpu(), plain)
    assert batch.views[0].device.type == context.device.type
    features = torch.randn(3, 318, 5)
    of_features = epoch(0, features=features, views=2)
    assert [view.shape for view in of_features[0].views] == [(50, 5)] * 2
    assert all((features[:, of_features[0].indices] == of_features[0].views[0]).all(dim=2).any(dim=0))


def test_two_ways_to_say_what_is_minimised_are_one_too_many(context: StageContext) -> None:
    (member,) = OneClassifier().build(context)
    with pytest.raises(UsageError, match=r"^toy all: loss and objective are given; one says what is minimised"):
        context.train(member, optim=OPTIM, loss=F.cross_entropy, objective=lambda step: torch.zeros(()))
    with pytest.raises(TypeError, match=r"train\(\) got an unexpected keyword argument 'epochs'"):
        context.train(member, optim=OPTIM, epochs=3)  # type: ignore[call-arg]


def test_members_built_without_what_was_shared_are_refused(context: StageContext, tmp_path: Path) -> None:
    stored = weights_of(Shared().build(context))
    with pytest.raises(LtbenchError, match="built again, its members have other weights than were stored"):
        rebuild(Forked(), StageContext("toy", context._workbench, None, {}), lambda: stored)


class Killed(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


def test_a_killed_training_on_mixed_augmented_images_ends_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam, an average, clipping, mixup and CutMix, RandAugment, three heads on one trunk."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    optim = OptimConfig(epochs=3, batch_size=64, lr=0.003, optimizer="adamw", ema=0.9, clip_norm=0.5)
    augment = Augment(AugmentConfig(policy="rand", erasing=0.3), Patterns.mean, Patterns.std)

    def run(folder: Path, kill: int | None) -> dict[str, Tensor]:
        def after_epoch(stage: str, epoch: int, metrics: dict) -> None:
            if epoch == kill:
                raise Killed

        bench = dataclasses.replace(
            workbench(folder), augment=augment, mixing=MixConfig(mixup=0.4, cutmix=1.0), after_epoch=after_epoch
        )
        context = StageContext("toy", bench, folder, {})
        torch.manual_seed(2)
        members = Forked().build(context)
        context.train(members, optim=optim, loss=F.cross_entropy, views=1)
        return {name: value.clone() for name, value in weights_of(members).items()}

    whole = run(tmp_path / "whole", None)
    with pytest.raises(Killed):
        run(tmp_path / "killed", 2)
    resumed = run(tmp_path / "killed", None)
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
