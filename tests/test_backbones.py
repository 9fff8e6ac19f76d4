"""timm models as backbones: shapes, blocks counted from the head, what is frozen stays, weights from files."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import WIDTHS
from torch import Tensor, nn

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.checkpoints import (
    load_backbone,
    load_checkpoint,
    load_classifier,
    load_exactly,
    pretrained_weights,
    weights_digest,
)
from ltbench.backbones.create import create_backbone
from ltbench.errors import DataError, LtbenchError, UsageError

SMALL = {"widths": WIDTHS, "stem_kernel": 3, "max_pool": False}
IMAGE = (1, 16, 16)


def small(seed: int = 0, **changes: Any) -> Backbone:
    torch.manual_seed(seed)
    return create_backbone("resnet10", image_shape=IMAGE, kwargs=SMALL, **changes)


def images(count: int = 8) -> Tensor:
    return torch.randn(count, *IMAGE, generator=torch.Generator().manual_seed(1))


def test_resnet10_is_a_timm_model_with_one_basic_block_a_stage() -> None:
    model = timm.create_model("resnet10", num_classes=1000)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters() if value.ndim > 1}
    assert shapes == {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer1.0.conv2.weight": (64, 64, 3, 3),
        "layer2.0.conv1.weight": (128, 64, 3, 3),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer3.0.conv1.weight": (256, 128, 3, 3),
        "layer3.0.conv2.weight": (256, 256, 3, 3),
        "layer3.0.downsample.0.weight": (256, 128, 1, 1),
        "layer4.0.conv1.weight": (512, 256, 3, 3),
        "layer4.0.conv2.weight": (512, 512, 3, 3),
        "layer4.0.downsample.0.weight": (512, 256, 1, 1),
        "fc.weight": (1000, 512),
    }
    # resnet18 of torchvision's layout has the same first block in every stage.
    resnet18 = timm.create_model("resnet18").state_dict()
    assert all(resnet18[name].shape == shape for name, shape in shapes.items())


def test_a_narrow_resnet10_has_the_widths_and_the_resolution_asked_for() -> None:
    backbone = small()
    assert backbone.num_features == WIDTHS[-1]
    maps = backbone.trunk.forward_features(images(2))
    assert maps.shape == (2, WIDTHS[-1], 1, 1), "16 pixels, halved by the stem and by three stages"
    assert backbone(images(2)).shape == (2, WIDTHS[-1])


@pytest.mark.parametrize(
    ("name", "shape", "kwargs", "width"),
    [
        ("resnet18", (3, 32, 32), {}, 512),
        ("convnext_atto", (3, 28, 28), {}, 320),
        ("vit_tiny_patch16_224", (1, 28, 28), {"img_size": 32}, 192),
    ],
)
def test_other_models_answer_features_for_small_images_and_freeze_by_block(
    name: str, shape: tuple[int, int, int], kwargs: dict[str, Any], width: int
) -> None:
    backbone = create_backbone(name, image_shape=shape, kwargs=kwargs)
    assert backbone(torch.zeros(2, *shape)).shape == (2, width)
    named = {parameter for parameter, _ in backbone.named_parameters()}
    blocks = backbone.blocks
    assert sorted(sum(blocks, [])) == sorted(named), "every parameter is in one block"
    for learnable in (0, 1, len(blocks)):
        backbone.set_learnable(learnable)
        learning = {parameter for parameter, value in backbone.named_parameters() if value.requires_grad}
        assert learning == set(sum(blocks[len(blocks) - learnable :], []))


def test_blocks_are_counted_from_the_head_down() -> None:
    blocks = small(projection=8).blocks
    assert [sorted({name.split(".")[1] for name in block})[0] for block in blocks] == [
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "0",
    ]
    assert blocks[-1] == ["projection.0.weight", "projection.0.bias"]


@pytest.mark.parametrize("learnable", [0, 1, 2, 5, None])
def test_frozen_blocks_keep_their_weights_and_batchnorm_statistics(learnable: int | None) -> None:
    backbone = small()
    blocks = backbone.blocks
    backbone.set_learnable(learnable)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD(
        [value for value in backbone.parameters() if value.requires_grad] or [torch.zeros(1)], lr=0.1, weight_decay=0.1
    )
    for _ in range(3):
        backbone.train()
        loss = backbone(images()).square().sum()
        if learnable != 0:
            loss.backward()
        optimizer.step()
    frozen = blocks if learnable == 0 else [] if learnable is None else blocks[: len(blocks) - learnable]
    prefixes = {name.rpartition(".")[0] for block in frozen for name in block}
    for name, value in backbone.state_dict().items():
        kept = torch.equal(value, before[name])
        assert kept == (name.rpartition(".")[0] in prefixes), name


def test_a_frozen_backbone_answers_the_same_in_training() -> None:
    backbone = small()
    backbone.set_learnable(0)
    expected = backbone.eval()(images())
    backbone.train()
    assert torch.equal(backbone(images()), expected)
    backbone.set_learnable(None)
    backbone.train()
    assert not torch.equal(backbone(images()), expected), "BatchNorm takes the batch's statistics where it learns"


@pytest.mark.parametrize("blocks", [6, -1])
def test_a_number_of_blocks_that_the_model_does_not_have(blocks: int) -> None:
    with pytest.raises(
        UsageError, match=rf"^learnable_blocks = {blocks + 1}: this backbone has 5 blocks below the head; use 1"
    ):
        small().set_learnable(blocks)


@pytest.mark.parametrize(
    ("name", "kwargs", "shape", "message"),
    [
        ("resnet17", {}, (3, 32, 32), r"unknown backbone 'resnet17': no such timm model. Did you mean 'resnet"),
        ("resnet18", {"colour": 1}, (3, 32, 32), r"backbone 'resnet18' does not take .*colour.*\(backbone.kwargs\)"),
        ("vit_tiny_patch16_224", {}, (1, 28, 28), r"cannot take 1x28x28 images: .* --set backbone.kwargs.img_size=28"),
        (
            "resnet18",
            {"global_pool": ""},
            (3, 64, 64),
            r"features of shape \(1, 512, 2, 2\), not \(1, 512\): it does not pool",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(
    name: str, kwargs: dict[str, Any], shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        create_backbone(name, image_shape=shape, kwargs=kwargs)
    assert "\n" not in str(caught.value)


def test_pretrained_weights_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", _offline)
    with pytest.raises(
        DataError, match="pretrained weights of 'resnet18' cannot be had: no route to host. Give a local file"
    ):
        create_backbone("resnet18", image_shape=(3, 32, 32), pretrained=True)


def _offline(*_: Any, **__: Any) -> nn.Module:
    raise OSError("no route to host\nand a long story")


WAYS_TO_STORE: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda weights: weights,
    "state_dict": lambda weights: {"state_dict": weights, "epoch": 3},
    "model": lambda weights: {"model": weights, "optimizer": {"lr": 0.1}},
    "model in state_dict": lambda weights: {"state_dict": {"model": weights}},
    "state_dict in model": lambda weights: {"model": {"state_dict": weights}},
    "module.": lambda weights: {f"module.{name}": value for name, value in weights.items()},
    "module.backbone.": lambda weights: {f"module.backbone.{name}": value for name, value in weights.items()},
    "a stage's": lambda weights: {f"all.backbone.trunk.{name}": value for name, value in weights.items()},
    "with a classifier": lambda weights: weights | {"fc.weight": torch.zeros(3, 32), "fc.bias": torch.zeros(3)},
}


@pytest.mark.parametrize("way", WAYS_TO_STORE)
def test_a_checkpoint_is_loaded_exactly(tmp_path: Path, way: str) -> None:
    original = small(seed=1)
    content = WAYS_TO_STORE[way](dict(original.trunk.state_dict()))
    torch.save(content, tmp_path / "weights.pth")
    files = [tmp_path / "weights.pth"]
    if all(isinstance(value, Tensor) for value in content.values()):  # a safetensors file holds nothing else
        save_file(content, tmp_path / "weights.safetensors")
        files.append(tmp_path / "weights.safetensors")
    assert weights_digest(small(seed=2)) != weights_digest(original)
    for file in files:
        assert weights_digest(small(seed=2, checkpoint=file)) == weights_digest(original)


def test_a_projection_is_taken_from_the_checkpoint_that_has_one(tmp_path: Path) -> None:
    original = small(seed=1, projection=8)
    save_file(original.state_dict(), tmp_path / "both.safetensors")
    save_file(original.trunk.state_dict(), tmp_path / "trunk.safetensors")
    assert weights_digest(small(seed=2, projection=8, checkpoint=tmp_path / "both.safetensors")) == weights_digest(
        original
    )
    fresh = small(seed=2, projection=8)
    half = small(seed=2, projection=8, checkpoint=tmp_path / "trunk.safetensors")
    assert weights_digest(half.trunk) == weights_digest(original.trunk)
    assert weights_digest(half.projection) == weights_digest(fresh.projection)


class Code:
    """What a malicious file would hold: unpickling it runs code."""

    def __reduce__(self) -> Any:
        return print, ("code was run",)


def test_a_file_that_holds_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"conv1.weight": torch.zeros(1), "other": Code()}, path)
    with pytest.raises(DataError, match="holds more than weights"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Code(), protocol=2))
    with pytest.raises(DataError, match="holds more than weights"):
        load_checkpoint(path)
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"hello", "is no PyTorch file"),
        (b"", "cannot be read"),
        ([1, 2], "holds no named weights"),
        ({"epoch": 3}, "holds no named weights"),
        (
            {"conv.weight": torch.zeros(1)},
            "has no 'conv1.weight': it is of another model (it begins with 'conv.weight')",
        ),
    ],
)
def test_a_file_without_the_weights_is_one_line(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(DataError) as caught:
        small(checkpoint=path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_safetensors_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_weight_of_another_shape_or_a_missing_one_is_named(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights = dict(module.state_dict())
    with pytest.raises(DataError, match=r"'1.weight' has shape \(1, 4\), the model needs \(1, 3\)"):
        load_exactly(module, weights | {"1.weight": torch.zeros(1, 4)}, tmp_path)
    with pytest.raises(DataError, match="has no '0.bias'"):
        load_exactly(module, {name: value for name, value in weights.items() if name != "0.bias"}, tmp_path)


def test_the_digest_of_weights_sees_values_names_and_shapes() -> None:
    values = torch.arange(6.0)
    modules = []
    for name, shape in (("a", (2, 3)), ("a", (3, 2)), ("b", (2, 3))):
        module = nn.Module()
        module.register_buffer(name, values.reshape(shape))
        modules.append(module)
    changed = nn.Module()
    changed.register_buffer("a", values.reshape(2, 3) + 1e-6)
    digests = [weights_digest(module) for module in (*modules, changed)]
    assert len(set(digests)) == 4
    assert weights_digest(modules[0]) == digests[0]


def test_a_checkpoint_without_counters_of_batches_is_taken(tmp_path: Path) -> None:
    backbone = create_backbone("resnet10", image_shape=(3, 32, 32), kwargs={"widths": (16, 16, 16, 16)})
    weights = {name: value for name, value in backbone.trunk.state_dict().items() if "num_batches_tracked" not in name}
    weights = {name: torch.ones_like(value) for name, value in weights.items()}
    torch.save(weights, tmp_path / "old.pth")
    load_backbone(backbone, load_checkpoint(tmp_path / "old.pth"), tmp_path / "old.pth")
    assert all(bool((backbone.trunk.state_dict()[name] == 1).all()) for name in weights)


@pytest.mark.parametrize(
    ("name", "weights"), [("resnet152.tv_in1k", "resnet152.tv_in1k"), ("resnet10", "resnet10.untrained")]
)
def test_pretrained_weights_are_named_with_their_tag(name: str, weights: str) -> None:
    assert pretrained_weights(name) == weights
    assert pretrained_weights("resnet152").startswith("resnet152.")


def weights_of_resnet18() -> dict[str, Tensor]:
    return dict(timm.create_model("resnet18", in_chans=1).state_dict())


def test_weights_that_are_left_over_are_named_and_counted(tmp_path: Path) -> None:
    """All of a ResNet-10 is in a ResNet-18, and has the same shapes."""
    weights, source = weights_of_resnet18(), tmp_path / "resnet18.pth"
    full = create_backbone("resnet10", image_shape=(1, 32, 32))
    blocks = [name for name in weights if name[6:9] == ".1." and not name.endswith("num_batches_tracked")]
    assert len(blocks) == 4 * (2 + 2 * 4)
    with pytest.raises(DataError) as caught:
        load_backbone(full, weights, source)
    message = str(caught.value)
    assert f"checkpoint {source} holds 40 weights that this model does not have ('layer1.1.bn1.bias', " in message
    assert "--set backbone.unused=allow" in message
    assert "\n" not in message
    allowing = create_backbone("resnet10", image_shape=(1, 32, 32), unused="allow")
    load_backbone(allowing, weights, source)
    assert torch.equal(allowing.trunk.state_dict()["layer4.0.conv2.weight"], weights["layer4.0.conv2.weight"])


def test_a_classifier_and_counters_may_be_left_over_of_a_whole_model(tmp_path: Path) -> None:
    """As torchvision has a ResNet: with ``fc``, and with counters that a model without BatchNorm would not have."""
    weights = weights_of_resnet18()
    assert {"fc.weight", "fc.bias", "bn1.num_batches_tracked"} <= weights.keys()
    backbone = create_backbone("resnet18", image_shape=(1, 32, 32))
    load_backbone(backbone, weights | {"norm.num_batches_tracked": torch.tensor(3)}, tmp_path)
    assert torch.equal(backbone.trunk.state_dict()["conv1.weight"], weights["conv1.weight"])


@pytest.mark.parametrize("name", ["fc.0.weight", "fc.extra", "head_dist.weight", "layer5.0.conv1.weight"])
def test_what_is_not_quite_a_classifier_is_left_over(tmp_path: Path, name: str) -> None:
    backbone = create_backbone("resnet18", image_shape=(1, 32, 32))
    with pytest.raises(DataError, match=f"holds 1 weight that this model does not have .'{name}'"):
        load_backbone(backbone, weights_of_resnet18() | {name: torch.zeros(1)}, tmp_path)


def test_a_projection_that_the_backbone_does_not_have_is_left_over(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds 2 weights .*'projection.0.bias', 'projection.0.weight'"):
        load_backbone(small(), load_checkpoint(stored(tmp_path, small(projection=8))), tmp_path)


def stored(folder: Path, backbone: Backbone) -> Path:
    save_file(backbone.state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def test_a_classifier_is_loaded_whole_and_nothing_may_be_left_over(tmp_path: Path) -> None:
    backbone, head = small(), nn.Linear(WIDTHS[-1], 3)
    weights = dict(small(seed=1).trunk.state_dict()) | {
        "fc.weight": torch.ones(3, WIDTHS[-1]),
        "fc.bias": torch.ones(3),
    }
    load_classifier(backbone, head, weights, tmp_path)
    assert torch.equal(head.weight, torch.ones(3, WIDTHS[-1]))
    with pytest.raises(DataError, match=r"holds 1 weight that this model does not have .'head.weight'"):
        load_classifier(backbone, head, weights | {"head.weight": torch.zeros(3, 3)}, tmp_path)
    allowing = small(unused="allow")
    load_classifier(allowing, head, weights | {"head.weight": torch.zeros(3, 3)}, tmp_path)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] can't allocate memory: you tried to allocate 9 bytes"),
            1,
            "out of memory",
        ),
        (MemoryError(), 1, "out of memory. Lower"),
        (torch.OutOfMemoryError("CUDA out of memory."), 1, "out of memory"),
        (RuntimeError("Invalid pretrained tag"), 4, "pretrained weights of 'resnet18' cannot be had"),
        (IndexError("list index out of range"), 2, "backbone 'resnet18' does not take"),
    ],
)
def test_why_a_model_cannot_be_made(monkeypatch: pytest.MonkeyPatch, error: Exception, kind: int, message: str) -> None:
    def fail(*_: Any, **__: Any) -> nn.Module:
        raise error

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(LtbenchError, match=message) as caught:
        create_backbone("resnet18", image_shape=(3, 32, 32), pretrained=True)
    assert caught.value.exit_code == kind
