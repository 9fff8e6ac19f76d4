"""``train`` and ``features`` as a method calls them, on the patterns that methods are checked on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltbench.backbones.checkpoints import weights_digest
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.samplers import InstanceSampler
from ltbench.engine.context import StageContext
from ltbench.errors import DataError
from ltbench.method import Member, Validation
from ltbench.testing.method_contract import Patterns, workbench
from ltbench.training.optim import OptimConfig

OPTIM = OptimConfig(epochs=2, batch_size=32, lr=0.05)


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Of a method called ``toy``; images are not augmented in training."""
    plain = Augment(AugmentConfig(), Patterns.mean, Patterns.std)
    return StageContext("toy", dataclasses.replace(workbench(tmp_path), augment=plain), tmp_path, {})


def member(context: StageContext, classes: tuple[int, ...] = tuple(range(6)), outside: Any = "none") -> Member:
    backbone = context.new_backbone()
    torch.manual_seed(0)
    head = nn.Linear(backbone.num_features, len(classes) + (outside == "reject"))
    return Member("all", torch.tensor(classes), backbone, head, outside)


class Seen:
    """A loss that notes the targets."""

    def __init__(self) -> None:
        self.targets: list[int] = []

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.targets += targets.tolist()
        return nn.functional.cross_entropy(logits, targets, ignore_index=-1)


def test_a_new_backbone_has_the_same_weights_each_time_and_others_for_another_method(context: StageContext) -> None:
    ours = weights_digest(context.new_backbone())
    assert weights_digest(context.new_backbone()) == ours
    other = StageContext("other", context._workbench, None, {})
    assert weights_digest(other.new_backbone()) != ours


def test_the_head_alone_on_images_is_the_head_on_cached_features(context: StageContext, tmp_path: Path) -> None:
    on_images, on_features = member(context), member(context)
    before = weights_digest(on_images.backbone)
    first = context.train(on_images, optim=OPTIM, learnable_blocks=1, sampler=InstanceSampler(318))
    (tmp_path / "checkpoint" / "all.safetensors").unlink()
    features = context.features(on_features.backbone, "train")
    second = context.train(on_features, optim=OPTIM, features=features, sampler=InstanceSampler(318))
    assert weights_digest(on_images.backbone) == before, "statistics of BatchNorm included"
    assert second.best_accuracy == pytest.approx(first.best_accuracy)
    torch.testing.assert_close(on_images.head.weight, on_features.head.weight, rtol=1e-3, atol=1e-5)


def test_by_default_a_member_is_trained_on_its_own_classes(context: StageContext) -> None:
    loss = Seen()
    result = context.train(member(context, (1, 4), "zero"), optim=OPTIM, loss=loss)
    assert sorted(loss.targets) == sorted([0] * 100 * 2 + [1] * 12 * 2)
    assert len(result.history) == 2


@pytest.mark.parametrize(("outside", "others"), [("zero", -1), ("reject", 2)])
def test_samples_of_other_classes_are_targets_of_their_own(context: StageContext, outside: str, others: int) -> None:
    loss = Seen()
    optim = OPTIM.model_copy(update={"epochs": 1})
    context.train(member(context, (1, 4), outside), optim=optim, loss=loss, sampler=InstanceSampler(318))
    assert sorted(loss.targets) == sorted([0] * 100 + [1] * 12 + [others] * 206)


def test_targets_and_features_can_be_the_method_s_own(context: StageContext) -> None:
    """Features of 40 drawn samples, all of dataset class 3, which is target 5."""
    loss = Seen()
    own = member(context)
    context.train(
        own,
        optim=OPTIM,
        loss=loss,
        target_of=torch.tensor([0, 1, 2, 5, 4, 3]),
        features=torch.randn(1, 40, own.backbone.num_features),
        labels=torch.full((40,), 3),
        label="own",
    )
    assert loss.targets == [5] * 80


def test_the_epoch_is_chosen_on_the_validation_samples_that_are_given(context: StageContext) -> None:
    targets = torch.zeros(8, dtype=torch.int64)
    right = context.train(
        constant(context, 0), optim=OptimConfig(epochs=0), validation=Validation(torch.arange(8), targets)
    )
    wrong = context.train(
        constant(context, 1), optim=OptimConfig(epochs=0), validation=Validation(torch.arange(8), targets)
    )
    assert (right.best_epoch, right.best_accuracy, wrong.best_accuracy) == (0, 100.0, 0.0)
    empty = Validation(torch.arange(0), torch.arange(0))
    with pytest.raises(DataError, match="toy all: the validation split holds no sample to select the epoch on"):
        context.train(member(context), optim=OPTIM, validation=empty)


def constant(context: StageContext, answer: int) -> Member:
    """A member that always answers the same class."""
    made = member(context)
    nn.init.zeros_(made.head.weight)
    with torch.no_grad():
        made.head.bias.copy_(torch.arange(6) == answer)
    return made


def test_of_several_views_the_first_is_the_plain_image(tmp_path: Path) -> None:
    bench = workbench(tmp_path)
    context = StageContext("toy", bench, tmp_path, {})
    backbone = context.new_backbone().eval()
    views = context.features(backbone, "val", views=3)
    images = bench.augment.plain(context.val_split.__getitems__(range(48)).images)
    with torch.no_grad():
        torch.testing.assert_close(views[0], backbone(images), rtol=1e-4, atol=1e-5)
    assert not torch.equal(views[1], views[0])
    assert not torch.equal(views[1], views[2])
    assert bench.features.passes == 3
    assert torch.equal(context.features(backbone, "val", views=2), views[:2])
    assert bench.features.passes == 3, "each is computed once"
    again = StageContext("another", workbench(tmp_path), None, {})
    assert torch.equal(again.features(backbone, "val", views=3), views), "and kept for other runs"
    assert again._workbench.features.passes == 0


def test_a_stage_s_log_has_a_line_for_each_epoch(context: StageContext, tmp_path: Path) -> None:
    context.train(member(context), optim=OPTIM)
    context.log(member="all", note="done")
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert '"epoch": 1' in lines[0]
    assert lines[2] == '{"member": "all", "note": "done"}'


@pytest.fixture
def stream_of() -> Callable[[StageContext, str], Tensor]:
    return lambda context, name: torch.rand(3, generator=context.generator(name))


def test_generators_are_named_streams(context: StageContext, stream_of: Callable[[StageContext, str], Tensor]) -> None:
    other = StageContext("other", context._workbench, None, {})
    assert torch.equal(stream_of(context, "a"), stream_of(context, "a"))
    assert not torch.equal(stream_of(context, "a"), stream_of(context, "b"))
    assert not torch.equal(stream_of(context, "a"), stream_of(other, "a"))
