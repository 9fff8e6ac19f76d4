"""ResNet-32 for CIFAR: published size, shapes, and what it computes against the paper's words in plain tensor operations."""

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.backbones.cifar_resnet import PaddedShortcut
from ltbench.backbones.create import create_backbone


def test_it_has_the_published_number_of_parameters() -> None:
    """He et al., CVPR 2016, Table 6: 0.46 M; by hand: stem and 31 convolutions, their BatchNorms, the classifier."""
    model = timm.create_model("resnet32", num_classes=10)
    convolutions = 27 * 16 + 10 * 9 * 16**2 + 9 * (16 * 32 + 9 * 32**2) + 9 * (32 * 64 + 9 * 64**2)
    norms = 2 * (16 + 10 * 16 + 10 * 32 + 10 * 64)
    assert sum(parameter.numel() for parameter in model.parameters()) == convolutions + norms + 64 * 10 + 10 == 464_154


def test_it_has_three_stages_at_full_half_and_quarter_resolution() -> None:
    model = timm.create_model("resnet32", num_classes=100)
    images, shapes = torch.zeros(2, 3, 32, 32), []
    for stage in (model.layer1, model.layer2, model.layer3):
        stage.register_forward_hook(lambda *about: shapes.append(tuple(about[2].shape[1:])))
    assert model(images).shape == (2, 100)
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert [info["num_chs"] for info in model.feature_info] == [16, 32, 64]


def test_a_padded_shortcut_takes_every_other_pixel_and_adds_zeros() -> None:
    images = torch.arange(1.0, 1 + 2 * 4 * 4).reshape(1, 2, 4, 4)
    found = PaddedShortcut(2)(images)
    assert found.shape == (1, 4, 2, 2)
    assert found[0, 0].eq(0).all() and found[0, 3].eq(0).all()
    assert found[0, 1].tolist() == [[1, 3], [9, 11]]
    assert found[0, 2].tolist() == [[17, 19], [25, 27]]


def test_it_computes_what_the_paper_describes() -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet32", num_classes=10).train()
    model(torch.randn(16, 3, 32, 32))  # running statistics that are none of the initial ones
    model.eval()
    weights = model.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def forward(x: Tensor) -> Tensor:
        x = norm(F.conv2d(x, weights["conv1.weight"], padding=1), "bn1").relu()
        for stage in (1, 2, 3):
            for block in range(5):
                name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                y = norm(F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1").relu()
                y = norm(F.conv2d(y, weights[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
                if stride == 2:
                    zeros = torch.zeros(len(x), x.shape[1] // 2, x.shape[2] // 2, x.shape[3] // 2)
                    x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], dim=1)
                x = (x + y).relu()
        return x.mean(dim=(2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]

    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(model(images), forward(images), atol=1e-4)


def test_weights_are_drawn_as_he_et_al_do() -> None:
    torch.manual_seed(0)
    weight = timm.create_model("resnet32").layer3[2].conv1.weight.detach()
    assert float(weight.std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    assert abs(float(weight.mean())) < 1e-3


def test_as_a_backbone_it_has_four_blocks_and_saves_memory() -> None:
    backbone = create_backbone("resnet32", image_shape=(1, 28, 28))
    assert backbone.num_features == 64
    assert [len(block) for block in backbone.blocks] == [3, 30, 30, 30]
    backbone.set_learnable(1)
    assert {name.split(".")[1] for name, each in backbone.named_parameters() if each.requires_grad} == {"layer3"}

    torch.manual_seed(0)
    images = torch.randn(4, 1, 28, 28)
    backbone.set_learnable(None)
    plain = torch.autograd.grad(backbone(images).sum(), list(backbone.parameters()))
    backbone.save_memory()
    saved = torch.autograd.grad(backbone(images).sum(), list(backbone.parameters()))
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(plain, saved, strict=True))
