"""LIFT: adapters, loss and class means by hand; nothing changes before the training, and nothing that is frozen after it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples.table import TRANSFORMER
from ltbench_zoo.adapters import blocks_of, width_of
from ltbench_zoo.lift import LIFT, class_means
from safetensors.torch import save_file
from timm.models.vision_transformer import ResPostBlock

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.create import create_backbone
from ltbench.config import BackboneConfig
from ltbench.engine.context import StageContext, build, fit
from ltbench.errors import DataError, LtbenchError, UsageError
from ltbench.testing import FakeContext
from ltbench.testing.method_contract import workbench
from ltbench.training.optim import OptimConfig

from .fitted import COUNTS, log_softmax
from .steps import drawn, knowing, softmax

SMALL: dict[str, Any] = {"img_size": 4, "patch_size": 2, "embed_dim": 8, "depth": 2, "num_heads": 2}


class WithTransformer(FakeContext):
    """Its backbones are small vision transformers, the same at every call."""

    kwargs = SMALL

    def new_backbone(self) -> Backbone:
        torch.manual_seed(3)
        return create_backbone("vit_tiny_patch16_224", image_shape=(1, 4, 4), kwargs=self.kwargs)


def fitted(context: FakeContext, **config: Any) -> Any:
    method = LIFT(LIFT.Config(**config))
    members = method.build(context)
    method.fit(context, members)
    return members[0]


def let_adapters_differ(backbone: Backbone) -> None:
    for name, weight in backbone.named_parameters():
        if "adapter" in name:
            torch.nn.init.normal_(weight, std=0.5)


def layer_norm(x: np.ndarray, module: torch.nn.LayerNorm) -> np.ndarray:
    spread = np.sqrt(x.var(axis=-1, keepdims=True) + module.eps)
    return (x - x.mean(axis=-1, keepdims=True)) / spread * numbers(module.weight) + numbers(module.bias)


def numbers(values: torch.Tensor) -> np.ndarray:
    return values.detach().double().numpy()


@pytest.mark.parametrize("layer_scale", [None, 0.25])
def test_an_adapted_block_adds_the_adapter_of_what_the_attention_left(layer_scale: float | None) -> None:
    """x + ls(mlp(norm(x))) + s up(relu(down(norm'(x)))): beside the MLP, with a norm of its own, outside of the layer scale."""
    context = WithTransformer(COUNTS)
    context.kwargs = SMALL | {"init_values": layer_scale}
    backbone = LIFT().backbone(context)
    let_adapters_differ(backbone)
    block = blocks_of(backbone.trunk)[0]
    torch.nn.init.normal_(block.mlp.norm.weight)
    tokens = torch.randn(3, 5, 8)
    after_attention = tokens + block.ls1(block.attn(block.norm1(tokens)))

    frozen, adapter, x = block.mlp, block.mlp.adapter, numbers(after_attention)
    mlp = frozen.frozen
    hidden = layer_norm(x, frozen.norm) @ numbers(mlp.fc1.weight).T + numbers(mlp.fc1.bias)
    gelu = hidden * (1 + np.vectorize(math.erf)(hidden / np.sqrt(2))) / 2
    own = (gelu @ numbers(mlp.fc2.weight).T + numbers(mlp.fc2.bias)) * (layer_scale or 1)
    narrow = np.maximum(layer_norm(x, adapter.norm) @ numbers(adapter.down.weight).T + numbers(adapter.down.bias), 0)
    beside = numbers(adapter.scale) * (narrow @ numbers(adapter.up.weight).T + numbers(adapter.up.bias))
    assert np.abs(beside).max() > 0.1
    assert np.allclose(numbers(block(tokens)), x + own + beside, atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "blocks", "width"),
    [(1000, 12, 32), (365, 12, 8), (100, 12, 4), (8142, 12, 256), (1000, 24, 16), (10, 12, 1)],
)
def test_the_width_follows_from_classes_and_blocks(classes: int, blocks: int, width: int) -> None:
    """Those of ViT-B/16 and ViT-L/16 on the benchmarks; C / 2L is 41.7, 15.2, 4.2, 339.3, 20.8 and 0.4."""
    assert width_of(classes, blocks) == width


def test_the_width_can_be_chosen() -> None:
    widths = [
        LIFT(LIFT.Config(width=width)).backbone(WithTransformer(COUNTS * 2)).trunk.blocks[1] for width in (None, 5)
    ]
    assert [block.mlp.adapter.down.out_features for block in widths] == [2, 5]


def test_before_the_training_it_answers_as_without_adapters() -> None:
    context = WithTransformer(COUNTS)
    method = LIFT()
    (member,) = method.build(context)
    images = torch.randn(6, 1, 4, 4)
    plain = context.new_backbone()
    assert torch.equal(member.module.eval()(images), member.head(plain.eval()(images)))
    let_adapters_differ(member.backbone)
    assert not torch.allclose(member.module(images), member.head(plain(images)))


def test_the_training_minimises_the_logit_adjusted_loss() -> None:
    """Its code compares where it should assign, so that one of its losses is never used; this one is what is trained by."""
    context = WithTransformer(COUNTS)
    fitted(context)
    (asked,) = context.trained
    assert asked["optim"] == OptimConfig(epochs=10, batch_size=128, lr=0.01, weight_decay=5e-4, momentum=0.9)
    assert "objective" not in asked and "update" not in asked
    logits, targets = drawn(classes=4)
    pi = np.array(COUNTS) / sum(COUNTS)
    expected = -log_softmax(logits.numpy() + np.log(pi))[np.arange(len(targets)), targets.numpy()].mean()
    plain = -np.log(softmax(logits)[np.arange(len(targets)), targets.numpy()]).mean()
    assert float(asked["loss"](logits, targets)) == pytest.approx(expected, rel=1e-6)
    assert abs(expected - plain) > 0.01


def test_a_rare_class_needs_a_larger_logit_than_a_frequent_one() -> None:
    loss, even = knowing(LIFT()).loss, torch.zeros(1, 4)
    assert loss(even, torch.tensor([3])) > np.log(4) > loss(even, torch.tensor([0]))


def test_the_classifier_starts_from_class_means() -> None:
    context = WithTransformer(COUNTS)
    member = fitted(context)
    features = numbers(context.new_backbone().eval()(context.augment.plain(context.train_split.images)))
    means = np.stack([features[context.train_split.labels.numpy() == label].mean(axis=0) for label in range(4)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    assert np.allclose(numbers(member.head.weight), means, atol=1e-5)
    cosines = features[:7] / np.linalg.norm(features[:7], axis=1, keepdims=True) @ means.T
    assert np.allclose(numbers(member.head(torch.tensor(features[:7]).float())), 25 * cosines, atol=1e-4)


def test_a_class_without_images_keeps_its_drawn_weights() -> None:
    labels = torch.tensor([0, 0, 2])
    means, known = class_means(torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), labels, 3)
    assert known.tolist() == [True, False, True]
    assert means[known].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    head = fitted(WithTransformer([9, 0, 3])).head
    assert torch.allclose(head.weight.norm(dim=1), torch.ones(3))


def test_the_classifier_starts_from_a_file_or_from_chance(tmp_path: Path) -> None:
    embeddings = torch.randn(4, 8)
    save_file({"text": embeddings.half()}, tmp_path / "text.safetensors")
    rows = fitted(WithTransformer(COUNTS), head="file", embeddings=tmp_path / "text.safetensors").head.weight
    expected = numbers(embeddings.half()) / np.linalg.norm(numbers(embeddings.half()), axis=1, keepdims=True)
    assert np.allclose(numbers(rows), expected, atol=1e-6)
    drawn_rows = fitted(WithTransformer(COUNTS), head="random").head.weight
    assert torch.allclose(drawn_rows.norm(dim=1), torch.ones(4))
    assert not torch.allclose(drawn_rows, fitted(WithTransformer(COUNTS)).head.weight)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (None, "cannot be read"),
        ({"a": torch.zeros(4, 7)}, r"holds float32\[4, 7\]; it must hold one tensor of finite numbers float\[4, 8\]"),
        ({"a": torch.zeros(4, 8), "b": torch.zeros(1)}, "must hold one tensor"),
        ({"a": torch.full((4, 8), torch.nan)}, "finite"),
        ({"a": torch.zeros(4, 8, dtype=torch.int64)}, "holds int64"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor] | None, message: str
) -> None:
    file = tmp_path / "text.safetensors"
    if tensors is not None:
        save_file(tensors, file)
    with pytest.raises(DataError, match=message):
        fitted(WithTransformer(COUNTS), head="file", embeddings=file)


def test_a_file_that_is_not_named_is_asked_for() -> None:
    with pytest.raises(UsageError, match=r"lift\.embeddings"):
        fitted(WithTransformer(COUNTS), head="file")


class Other(FakeContext):
    """Its backbones are ``network``: timm's name, and arguments."""

    network: tuple[str, dict[str, Any]]

    def new_backbone(self) -> Backbone:
        return create_backbone(self.network[0], image_shape=(1, 16, 16), kwargs=self.network[1])


@pytest.mark.parametrize(
    ("name", "kwargs", "kind"),
    [
        ("resnet10", {"widths": [8, 8, 8, 8]}, "ResNet10"),
        ("vit_relpos_small_patch16_224", {"img_size": 16, "depth": 1}, "VisionTransformerRelPos"),
        ("vit_tiny_patch16_224", {"img_size": 16, "depth": 1, "block_fn": ResPostBlock}, "ResPostBlock"),
    ],
)
def test_a_network_without_such_blocks_is_refused(name: str, kwargs: dict[str, Any], kind: str) -> None:
    context = Other(COUNTS)
    context.network = (name, kwargs)
    with pytest.raises(UsageError, match=f"vision transformer; this backbone is of {kind}: --backbone vit_base"):
        LIFT().build(context)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
        ("vit_base_patch16_clip_quickgelu_224", {"embed_dim": 64, "num_heads": 2}),
        ("deit3_small_patch16_224", {"embed_dim": 64, "num_heads": 2}),
    ],
)
def test_other_transformers_are_adapted_and_answer_as_before(name: str, kwargs: dict[str, Any]) -> None:
    context = Other(COUNTS)
    context.network = (name, {"img_size": 16, "depth": 2, **kwargs})
    torch.manual_seed(0)
    plain = context.new_backbone().eval()
    torch.manual_seed(0)
    adapted, images = LIFT().backbone(context).eval(), torch.randn(2, 1, 16, 16)
    assert torch.equal(adapted(images), plain(images))
    let_adapters_differ(adapted)
    assert not torch.allclose(adapted(images), plain(images))


def test_a_layer_above_the_network_is_refused() -> None:
    class Projected(WithTransformer):
        def new_backbone(self) -> Backbone:
            return Backbone(super().new_backbone().trunk, projection=16)

    with pytest.raises(LtbenchError, match="projection"):
        LIFT().build(Projected(COUNTS))


def test_what_is_frozen_is_bit_identical_after_the_training(tmp_path: Path) -> None:
    optim = OptimConfig(epochs=2, batch_size=32, lr=0.1, weight_decay=0.1)
    bench = workbench(tmp_path, BackboneConfig.model_validate(TRANSFORMER))
    context = StageContext("lift", bench, tmp_path, {})
    method = LIFT(LIFT.Config(optim=optim))
    members = build(method, context)
    before = {name: weight.clone() for name, weight in members[0].module.named_parameters()}
    fit(method, context, members)
    changed = {name for name, weight in members[0].module.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if "adapter" in name} | {"head.weight"}
    plain = dict(context.new_backbone().named_parameters())
    kept = [name for name in before if name.startswith("backbone.") and "adapter" not in name]
    assert len(kept) == len(plain)
