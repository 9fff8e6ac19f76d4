"""What a GPU trains, in each precision, is what the CPU trains, up to how finely it multiplies; and so is what it augments."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny import in_subprocess, settings
from trials import losses, stage

from ltbench.config import ComputeConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.engine.machine.compute import Compute
from ltbench.results.store import read_record

from .runs import HALF, OF_FLOAT32, SETTINGS, Ltb, on, trained, weights

EVERYTHING: Sequence[AugmentConfig] = (
    AugmentConfig(crop_scale=(0.3, 1.0), flip=True, color_jitter=(0.4, 0.4, 0.4, 0.1), erasing=0.5, size=24),
    AugmentConfig(shift=3, flip=True, policy="rand", cutout=8),
)


@pytest.mark.parametrize("precision", ["fp32", *HALF])
def test_a_precision_trains_as_float32_on_a_cpu_does(
    ltb: Ltb, device: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (device, precision) == ("cpu", "fp16"):
        pytest.skip("fp16 needs an accelerator")
    exact = trained(ltb, tmp_path / "cpu", monkeypatch, *settings(**SETTINGS), *on("cpu", "fp32"))
    found = trained(ltb, tmp_path / "found", monkeypatch, *settings(**SETTINGS), *on(device, precision))
    for (epoch, loss), (same, expected) in zip(losses(found, "baseline"), losses(exact, "baseline"), strict=True):
        assert epoch == same
        assert loss == pytest.approx(expected, rel=OF_FLOAT32[precision])
    for name, value in weights(found, "baseline").items():
        assert torch.isfinite(value).all(), name
        assert value.dtype in (torch.float32, torch.int64), name
    (record,) = found.glob("runs/*/records/*/baseline--none--*.json")
    environment = read_record(record).environment
    assert environment.precision == precision
    assert (environment.device == "cpu") == (device == "cpu")


def test_accumulating_and_checkpointing_leave_the_training_as_it_is(
    ltb: Ltb, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a network without BatchNorm, which would count batches otherwise."""
    vit = {"name": '"vit_tiny_patch16_224"', "kwargs": {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2}}
    vit["kwargs"]["num_heads"] = 2  # type: ignore[index]
    run = settings(**SETTINGS | {"backbone": vit})
    plain = trained(ltb, tmp_path / "plain", monkeypatch, *run, *on(device, "fp32"))
    saving = on(device, "fp32", gradient_accumulation=3, gradient_checkpointing=True)
    found = trained(ltb, tmp_path / "saving", monkeypatch, *run, *saving)
    for (_, loss), (_, expected) in zip(losses(found, "baseline"), losses(plain, "baseline"), strict=True):
        assert loss == pytest.approx(expected, rel=OF_FLOAT32["fp32"])
    assert stage(found, "baseline").name != stage(plain, "baseline").name, "it was asked for"


@pytest.mark.parametrize("config", EVERYTHING, ids=["crop and jitter", "policy"])
def test_a_device_augments_as_the_cpu_does(any_device: str, config: AugmentConfig) -> None:
    compute = Compute(ComputeConfig(device=any_device, precision="fp32"))
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    augment = Augment(config, (0.5,), (0.25,))
    expected = augment.train(images, torch.Generator().manual_seed(2))
    found = augment.train(compute.images(images), torch.Generator().manual_seed(2))
    assert found.device.type == any_device
    apart = (found.cpu() - expected).abs() * 0.25 * 255
    assert float(apart.mean()) < 0.05, "in grey levels"
    assert float((apart > 1.5).float().mean()) < 0.002, "pixels on the verge of a rounding that is amplified"


def test_more_processes_than_gpus_are_one_line(device: str, tmp_path: Path) -> None:
    if device == "cpu":
        pytest.skip("counts GPUs")
    wanted = torch.cuda.device_count() + 1
    command = ["run", "-m", "baseline", "--num-processes", wanted, "--oversubscribe", *settings(**SETTINGS)]
    done = in_subprocess(command, tmp_path)
    assert done.code == 2
    assert "GPU(s): start one for each" in done.err
