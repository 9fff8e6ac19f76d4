"""Runs on image files: originals and packed copies, bad images refused or left out, and what the record says of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import bad_files, good_files, tree
from tiny import Outcome

SETTINGS = (
    "--method",
    "baseline",
    *("--set", "augment.size=32"),
    *("--set", "augment.crop_scale=[0.3, 1.0]"),
    *("--set", "augment.flip=true"),
    *("--set", "baseline.optim.epochs=2"),
    *("--set", "baseline.optim.batch_size=16"),
    *("--set", "baseline.optim.lr=0.01"),
    *("--set", "backbone.kwargs.widths=[16, 16, 16, 16]"),
    *("--set", "compute.workers=0"),
    *("--set", "compute.precision=fp32"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, (split, each) in enumerate({"train": (20, 12, 6), "val": (4, 4, 4), "test": (4, 4, 4)}.items()):
        tree(tmp_path / "photos" / split, dict(zip("abc", each, strict=True)), seed=number)
    return tmp_path / "photos"


def run(ltb: Callable[..., Outcome], root: Path, *more: object) -> Outcome:
    return ltb("run", "--dataset", "folder", "--data-root", root, *SETTINGS, *more)


def record(done: Outcome) -> dict[str, Any]:
    assert done.code == 0, done.err
    return json.loads(done.out)["records"][0]


def test_a_packed_copy_is_another_stage_of_the_same_data(ltb: Callable[..., Outcome], root: Path) -> None:
    from_files = run(ltb, root, "--json")
    options = ("--set", "dataset.options.storage=packed", "--set", "dataset.options.short_side=40")
    refused = run(ltb, root, *options)
    assert refused.code == 4
    assert f"Make it with 'ltbench data pack folder --data-root {root}'" in refused.err
    packed = ltb("data", "pack", "folder", "--data-root", root, "--set", "short_side=40", "--json")
    assert [(entry["split"], entry["images"], entry["outcome"]) for entry in json.loads(packed.out)] == [
        ("train", 38, "packed and verified"),
        ("val", 12, "packed and verified"),
        ("test", 12, "packed and verified"),
    ]
    from_packed = run(ltb, root, *options, "--json")
    files, copy = record(from_files), record(from_packed)
    assert files["dataset"]["fingerprint"] == copy["dataset"]["fingerprint"]
    assert (files["dataset"]["options"]["storage"], copy["dataset"]["options"]["storage"]) == ("files", "packed")
    assert files["stages"] != copy["stages"]
    again = ltb("data", "pack", "folder", "--data-root", root, "--set", "short_side=40", "--verify")
    assert again.out.count("verified: ") == 3


def test_pack_into_the_cache_and_refuse_what_has_no_files(
    ltb: Callable[..., Outcome], root: Path, own_cache: Path
) -> None:
    done = ltb("data", "pack", "folder", "--data-root", root, "--in-cache")
    assert done.code == 0, done.err
    assert f" MB in {own_cache}/packed/folder/train-256-" in done.out
    assert not (root / "packed").exists()
    refused = ltb("data", "pack", "glyphs-lt")
    assert (refused.code, "nothing to pack" in refused.err) == (2, True)


def test_every_readable_kind_of_file_is_trained_on(ltb: Callable[..., Outcome], root: Path) -> None:
    good_files(root / "train" / "c")
    assert record(run(ltb, root, "--json"))["dataset"]["train_counts"] == [20, 12, 6 + 8]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_ends_the_run_with_its_path(
    ltb: Callable[..., Outcome], root: Path, own_cache: Path, workers: int
) -> None:
    bad = root / "train" / "b" / "5.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    done = run(ltb, root, "--set", f"compute.workers={workers}")
    assert done.code == 4
    lines = [line for line in done.err.splitlines() if line.startswith("Error")]
    assert lines == [
        f"Error: image {bad}: truncated. 'ltbench data check' lists all such images; --on-bad-image skip leaves them out."
    ]


def test_bad_images_are_left_out_counted_and_recorded(ltb: Callable[..., Outcome], root: Path) -> None:
    bad_files(root / "train" / "b")
    (root / "train" / "b" / "whole.jpg").unlink()
    (root / "test" / "a" / "0.jpg").write_bytes(b"")
    checked = ltb("data", "check", "folder", "--data-root", root)
    assert checked.code == 4
    assert "4 of 65 images are missing or unreadable" in checked.err
    done = run(ltb, root, "--on-bad-image", "skip")
    assert done.code == 0, done.err
    assert "train: 3 images left out: train/b/empty.jpg, train/b/text.jpg, train/b/truncated.jpg" in done.err
    found = record(run(ltb, root, "--on-bad-image", "skip", "--json"))["dataset"]
    assert found["skipped"] == {
        "train": ["train/b/empty.jpg", "train/b/text.jpg", "train/b/truncated.jpg"],
        "test": ["test/a/0.jpg"],
    }
    assert (found["train_counts"], found["test"]) == ([20, 12, 6], 11)


def test_a_dataset_without_files_has_no_bad_images(ltb: Callable[..., Outcome]) -> None:
    done = ltb("run", "--method", "baseline", "--on-bad-image", "skip", "--dry-run")
    assert done.code == 2
    assert "on_bad_image" in done.err
