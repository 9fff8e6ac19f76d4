"""The runs that are made on one device and on the other, and what they come to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from examples.table import DATASET, OPTIM
from safetensors.torch import load_file
from tiny import WIDTHS, Outcome, settings
from trials import stage

from ltbench.results.logits import LogitsFolder

Ltb = Callable[..., Outcome]

RESNET = {"name": '"resnet10"', "kwargs": {"widths": WIDTHS}}
"""With BatchNorm, whose statistics are part of what is trained."""

SETTINGS: dict[str, Any] = {"dataset": {"options": DATASET}, "backbone": RESNET, "baseline": {"optim": OPTIM}}
"""For a run of the baseline: 133 images in steps of 39, two epochs; what the second one leaves is kept."""

HALF = ("bf16", "fp16")

OF_FLOAT32 = {"fp32": 0.01, "bf16": 0.05, "fp16": 0.05}
"""How far an epoch's mean loss may be from float32's on a CPU, as a share of it. A GPU's convolutions multiply tf32, which has
10 bits of mantissa; bf16 has 7."""


def on(device: str, precision: str, **more: Any) -> list[str]:
    """Settings of where and how a run computes."""
    return settings(compute={"device": f'"{device}"', "precision": f'"{precision}"', "eval_batch_size": 16, **more})


def trained(ltb: Ltb, cache: Path, monkeypatch: Any, *settings_of_run: str, method: str = "baseline") -> Path:
    """The cache after ``ltbench run -m METHOD``."""
    monkeypatch.setenv("LTBENCH_CACHE", str(cache))
    done = ltb("run", "-m", method, *settings_of_run)
    assert done.code == 0, done.err
    return cache


def weights(cache: Path, method: str) -> dict[str, torch.Tensor]:
    return load_file(stage(cache, method) / "weights.safetensors")


def assert_close(found: LogitsFolder, expected: LogitsFolder, share: float) -> None:
    """Logits differ by ``share`` of their standard deviation at most."""
    pairs = zip((*found.val.members, *found.test.members), (*expected.val.members, *expected.test.members), strict=True)
    for mine, other in pairs:
        assert mine.name == other.name
        torch.testing.assert_close(mine.logits, other.logits, rtol=0, atol=share * float(other.logits.std()))
