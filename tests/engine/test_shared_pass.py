"""Several backbones in one pass answer what each answers alone, and what they share is computed once."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.create import create_backbone
from ltbench.backbones.shared_pass import SharedPass
from ltbench.testing.method_contract import Patterns, workbench

SIZE = 32
IMAGES = torch.randn(5, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def made(name: str, **kwargs: Any) -> Backbone:
    torch.manual_seed(0)
    return create_backbone(name, image_shape=(3, SIZE, SIZE), projection=8, kwargs=kwargs).eval()


def resnet() -> Backbone:
    return made("resnet10", widths=(16, 16, 32, 32))


def changed(backbone: Backbone, *blocks: int) -> Backbone:
    """A copy with other weights in these of its blocks."""
    other = copy.deepcopy(backbone)
    names = {name for block in blocks for name in other.blocks[block]}
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name in names:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return other


@torch.inference_mode()
def in_one_pass(*backbones: Backbone) -> tuple[list[Tensor], int]:
    """Features of each, and the operations it took."""
    shared = SharedPass(backbones).eval()
    features = shared(IMAGES).split([backbone.num_features for backbone in backbones], dim=1)
    return list(features), shared.steps


@torch.inference_mode()
def alone(*backbones: Backbone) -> list[Tensor]:
    return [backbone(IMAGES.clone()) for backbone in backbones]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert [torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)] == [True] * len(theirs)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("resnet18", {}),
        ("convnext_atto", {}),
        ("vit_tiny_patch16_224", {"img_size": SIZE}),
        ("swin_tiny_patch4_window7_224", {"img_size": SIZE, "window_size": 2}),
        ("efficientnet_b0", {}),
    ],
)
def test_lower_blocks_are_computed_once_in_models_of_every_kind(name: str, kwargs: dict[str, Any]) -> None:
    first = made(name, **kwargs)
    upper, equal = changed(first, -1, -2), copy.deepcopy(first)
    _, steps_alone = in_one_pass(first)
    features, steps = in_one_pass(first, upper, equal)
    assert_same(features, alone(first, upper, equal))
    assert steps_alone < steps < 1.5 * steps_alone


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=4))
def test_whichever_blocks_differ_each_backbone_answers_as_alone(differing: list[set[int]]) -> None:
    first = resnet()
    backbones = [first, *(changed(first, *blocks) for blocks in differing)]
    features, _ = in_one_pass(*backbones)
    assert_same(features, alone(*backbones))


def test_what_lies_below_the_first_change_runs_once_and_all_above_it_again() -> None:
    first = resnet()
    backbones = [first, changed(first, -2), changed(first, -2)]
    calls: list[str] = []
    for backbone in backbones:
        for name in ("conv1", "layer3.0.conv2", "layer4.0.conv1"):
            backbone.trunk.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, name=name: calls.append(name) if len(output) == len(IMAGES) else None
            )
    in_one_pass(*backbones)
    assert [calls.count(name) for name in ("conv1", "layer3.0.conv2", "layer4.0.conv1")] == [1, 1, 3]


def custom(forward: Callable[[nn.Module, Tensor], Tensor], **modules: nn.Module) -> Backbone:
    """A backbone around a trunk with this forward pass."""
    trunk = type("Trunk", (nn.Module,), {"forward": forward, "num_features": 4})()
    torch.manual_seed(1)
    trunk.first = nn.Linear(3 * SIZE * SIZE, 4)
    for name, module in modules.items():
        setattr(trunk, name, module)
    return Backbone(trunk).eval()


def test_a_value_that_one_backbone_overwrites_stays_whole_for_the_next() -> None:
    def forward(self: Any, images: Tensor) -> Tensor:
        return self.act(self.first(images.flatten(1)))

    backbones = [custom(forward, act=nn.CELU(alpha, inplace=True)) for alpha in (1.0, 2.0, 3.0)]
    features, steps = in_one_pass(*backbones)
    assert_same(features, alone(*backbones))
    assert steps == 2 + 3


def test_a_model_that_cannot_be_traced_is_run_as_it_is() -> None:
    def forward(self: Any, images: Tensor) -> Tensor:
        features = self.first(images.flatten(1))
        return features if features.sum() > 0 else -features

    backbones = [custom(forward), resnet(), custom(forward)]
    features, steps = in_one_pass(*backbones)
    assert_same(features, alone(*backbones))
    assert steps > 2


def test_a_model_that_a_trace_gets_wrong_is_run_as_it_is() -> None:
    def forward(self: Any, images: Tensor) -> Tensor:
        features = self.first(images.flatten(1))
        left, right = features[:, :2], features.clone()
        if isinstance(features, Tensor):  # no tensor while it is traced
            return right
        return left.repeat(1, 2)

    backbones = [custom(forward), custom(forward)]
    features, steps = in_one_pass(*backbones)
    assert_same(features, alone(*backbones))
    assert steps == 2


def test_a_store_computes_what_is_missing_in_one_pass(tmp_path: Path) -> None:
    first = create_backbone("resnet10", image_shape=Patterns.image_shape, kwargs={"widths": (16, 16, 32, 32)})
    backbones = [first, changed(first, -1), changed(first, 0)]
    one_by_one, together = workbench(tmp_path / "one"), workbench(tmp_path / "other")
    expected = [one_by_one.features.get(backbone, "val", one_by_one.val) for backbone in backbones]
    assert one_by_one.features.passes == 3
    together.features.get(backbones[1], "val", together.val)
    assert_same(together.features.get_all([*backbones, first], "val", together.val), [*expected, expected[0]])
    assert together.features.passes == 2
    assert [backbone.training for backbone in backbones] == [True] * 3, "left as they were"
    again = workbench(tmp_path / "other")
    assert_same(again.features.get_all(backbones, "val", again.val), expected)
    assert again.features.passes == 0
