"""Image files on their way to a GPU: read by worker processes or by the main one, they train the same."""

from pathlib import Path

import pytest
from examples.table import OPTIM
from pictures import tree
from tiny import WIDTHS, settings
from trials import losses

from .runs import Ltb, on, trained

COUNTS = {"ape": 40, "bee": 24, "cat": 16}


def run(root: Path, size: int, backbone: str) -> list[str]:
    return [
        *("--data-root", str(root)),
        *settings(
            dataset={"name": '"folder"', "options": {"val_per_class": 4, "test_per_class": 4}},
            augment={"size": size, "flip": True, "crop_scale": [0.5, 1.0], "color_jitter": [0.2, 0.2, 0.2, 0.0]},
            backbone={"name": f'"{backbone}"', **({"kwargs": {"widths": WIDTHS}} if backbone == "resnet10" else {})},
            baseline={"optim": OPTIM | {"batch_size": 16, "lr": 0.01}},
        ),
    ]


def test_worker_processes_read_what_the_main_one_reads(
    ltb: Ltb, any_device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "photos", COUNTS)
    asked = run(tmp_path / "photos", 24, "resnet10")
    alone, helped = (
        losses(
            trained(ltb, tmp_path / str(workers), monkeypatch, *asked, *on(any_device, "fp32", workers=workers)),
            "baseline",
        )
        for workers in (0, 2)
    )
    if any_device == "cpu":
        assert helped == alone
    for (epoch, loss), (same, expected) in zip(helped, alone, strict=True):
        assert epoch == same
        assert loss == pytest.approx(expected, rel=1e-3), "the pictures are the same; a GPU adds them in any order"


def test_a_large_network_on_large_images_by_default(
    ltb: Ltb, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ResNet-50 at 224 pixels with whatever a run takes: precision, worker processes, batches of 512 without gradients. What it
    answers in batches of 7 must come near enough for the stage to be published."""
    tree(tmp_path / "photos", COUNTS, size=(320, 240))
    size, backbone = (224, "resnet50") if device == "cuda" else (32, "resnet10")
    done = trained(
        ltb,
        tmp_path / "cache",
        monkeypatch,
        *run(tmp_path / "photos", size, backbone),
        *settings(compute={"device": f'"{device}"'}),
    )
    assert [epoch for epoch, _ in losses(done, "baseline")] == [1, 2]
