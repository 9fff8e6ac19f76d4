"""Mixed precision and gradient checkpointing: the same gradients from less memory, weights that stay float32."""

import json
from typing import Any

import pytest
import torch
from tiny import TINY, WIDTHS, settings
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.create import create_backbone
from ltbench.config import ComputeConfig
from ltbench.engine.machine.compute import Compute
from ltbench.errors import UsageError

IMAGE = (1, 16, 16)
RESNET: tuple[str, dict[str, Any]] = ("resnet10", {"widths": WIDTHS, "stem_kernel": 3, "max_pool": False})
VIT: tuple[str, dict[str, Any]] = (
    "vit_tiny_patch16_224",
    {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2},
)


def after_a_step(model: tuple[str, dict[str, Any]], saving: bool) -> tuple[Backbone, list[Tensor]]:
    """A backbone in training after one backward pass, and the tensors that were kept for it."""
    torch.manual_seed(0)
    backbone = create_backbone(model[0], image_shape=IMAGE, kwargs=model[1]).train()
    if saving:
        backbone.save_memory()
    images = torch.randn(8, *IMAGE, generator=torch.Generator().manual_seed(1))
    kept: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        features = backbone(images)
    before_backward = list(kept)
    features.square().sum().backward()
    return backbone, before_backward


@pytest.mark.parametrize("model", [RESNET, VIT], ids=["resnet10", "vit"])
def test_checkpointing_keeps_the_gradients_and_less_memory(model: tuple[str, dict[str, Any]]) -> None:
    (plain, held), (saving, held_when_saving) = after_a_step(model, False), after_a_step(model, True)
    for (name, ours), theirs in zip(saving.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
    memory, memory_when_saving = (
        sum(value.numel() for value in {value.data_ptr(): value for value in tensors}.values())
        for tensors in (held, held_when_saving)
    )
    assert memory_when_saving < memory


def test_checkpointing_counts_a_batch_twice_in_batchnorm_s_running_statistics() -> None:
    """In the blocks, which are computed twice; not in the stem, which is not."""
    plain, saving = after_a_step(RESNET, False)[0].trunk, after_a_step(RESNET, True)[0].trunk
    assert torch.equal(saving.bn1.running_mean, plain.bn1.running_mean)
    once, twice = plain.layer1[0].bn1, saving.layer1[0].bn1
    assert (int(once.num_batches_tracked), int(twice.num_batches_tracked)) == (1, 2)
    mean = once.running_mean / once.momentum
    torch.testing.assert_close(twice.running_mean, mean * (1 - (1 - once.momentum) ** 2))


def test_a_model_without_checkpointing_is_one_line() -> None:
    backbone = create_backbone("dla46_c", image_shape=(3, 32, 32))
    with pytest.raises(UsageError, match=r"^compute.gradient_checkpointing = true: timm offers it for no DLA; use"):
        backbone.save_memory()


def test_bfloat16_is_for_activations_and_weights_stay_float32(ltb) -> None:
    done = ltb("run", "-m", "baseline", *TINY, *settings(compute={"precision": "bf16", "device": "cpu"}), "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert {record["environment"]["precision"] for record in answer["records"]} == {"bf16"}

    compute = Compute(ComputeConfig(device="cpu", precision="bf16"))
    layer = nn.Linear(4, 2)
    with compute.autocast():
        logits = layer(torch.randn(3, 4))
    assert logits.dtype == torch.bfloat16
    F.cross_entropy(logits, torch.zeros(3, dtype=torch.int64)).backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32


def test_fp16_on_a_cpu_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^compute.precision = 'fp16' needs an accelerator; on a CPU use 'fp32'"):
        Compute(ComputeConfig(device="cpu", precision="fp16"))
