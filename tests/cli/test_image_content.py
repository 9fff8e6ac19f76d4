"""On the command line: other pixels are other data, the same pixels elsewhere are not; what is no picture is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import huge_jpeg, huge_png, no_files, tree
from PIL import Image
from tiny import Outcome, in_subprocess

from .test_files import SETTINGS, record, root, run  # noqa: F401 (a fixture)

EMPTY_TEST_SPLIT = """
import ltbench
import torch
from ltbench.data.base import Dataset, TensorSplit

class Void(Dataset):
    name = "void-lt"
    image_shape = (1, 8, 8)
    class_names = ("one", "two")
    fingerprint = "0" * 64

    def split(self, name):
        labels = torch.tensor([] if name == "test" else [0, 1] * 8)
        return TensorSplit(torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8), labels)

@ltbench.hookimpl
def ltbench_datasets():
    yield ltbench.DatasetSpec("void-lt", target=f"{__name__}:Void", summary="No test images.")
"""


def identity(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["dataset"]["fingerprint"], found["stages"], found["created"], found["metrics"]


def randomised(root: Path) -> Path:  # noqa: F811
    """The same names with random pixels."""
    copy, random = Path(shutil.copytree(root, root.with_name("random"))), np.random.default_rng(0)
    for file in copy.rglob("*.jpg"):
        Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(file)
    return copy


def test_other_pixels_are_another_record_and_a_moved_tree_keeps_its_own(
    ltb: Callable[..., Outcome],
    root: Path,  # noqa: F811
) -> None:
    first = record(run(ltb, root, "--json"))
    other = record(run(ltb, randomised(root), "--json"))
    assert first["dataset"]["fingerprint"] != other["dataset"]["fingerprint"]
    assert first["stages"] != other["stages"]
    assert first["logits_sha256"] != other["logits_sha256"]
    moved = root.rename(root.with_name("moved"))
    assert identity(record(run(ltb, moved, "--json"))) == identity(first)
    assert identity(record(run(ltb, Path(shutil.copytree(moved, root)), "--json"))) == identity(first)


def test_one_byte_of_a_test_image_is_evaluated_anew(ltb: Callable[..., Outcome], root: Path) -> None:  # noqa: F811
    first = record(run(ltb, root, "--json"))
    spoilt = root / "test" / "b" / "1.jpg"
    spoilt.write_bytes(spoilt.read_bytes()[:300])
    refused = run(ltb, root)
    assert (refused.code, f"image {spoilt}: truncated" in refused.err) == (4, True)
    spoilt.write_bytes(b"")
    refused = run(ltb, root)
    assert (refused.code, f"image {spoilt}: the file is empty" in refused.err) == (4, True)
    shutil.copy(root / "test" / "b" / "2.jpg", spoilt)
    again = record(run(ltb, root, "--json"))
    assert again["dataset"]["fingerprint"] != first["dataset"]["fingerprint"]
    assert again["logits_sha256"]["test"] != first["logits_sha256"]["test"]


@pytest.fixture
def hostile(root: Path) -> dict[str, Path]:  # noqa: F811
    """What ``check`` must say -> what lies among the training images."""
    places = no_files(root / "train" / "a")
    return places | {
        "13,000 x 13,000 pixels: more than the 100 megapixels that are read": huge_png(root / "train/a/huge.png"),
        "12,000 x 12,000 pixels: more than the 100 megapixels that are read": huge_jpeg(
            root / "train/b/huge.jpg", 12_000, 12_000
        ),
    }


def test_check_names_what_is_no_picture(hostile: dict[str, Path], root: Path, tmp_path: Path) -> None:  # noqa: F811
    done = in_subprocess(["data", "check", "folder", "--data-root", root, "--json"], tmp_path / "cache", timeout=120)
    assert done.code == 4
    assert done.complaint.startswith("folder: 6 of ")
    unreadable = json.loads(done.out)["images"][0]["unreadable"]
    assert {file: text for text, path in hostile.items() for file in [str(path)] if text in unreadable[file]} == {
        str(path): text for text, path in hostile.items()
    }


def test_a_run_refuses_them_or_leaves_them_out(hostile: dict[str, Path], root: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ["run", "--dataset", "folder", "--data-root", root, *SETTINGS, "--json"]
    refused = in_subprocess(options, tmp_path / "cache", timeout=120)
    assert refused.code == 4
    assert "image " in refused.complaint and "--on-bad-image skip leaves them out" in refused.complaint
    done = in_subprocess([*options, "--on-bad-image", "skip"], tmp_path / "cache")
    skipped = record(done)["dataset"]["skipped"]["train"]
    assert sorted(skipped) == sorted(str(path.relative_to(root)) for path in hostile.values())
    assert "Warning" not in done.err


def test_a_loop_of_folders_is_refused(root: Path, tmp_path: Path) -> None:  # noqa: F811
    (root / "train" / "a" / "up").symlink_to(root / "train")
    done = in_subprocess(["data", "check", "folder", "--data-root", root], tmp_path / "cache", timeout=120)
    assert done.code == 4
    assert "is a link that leads to" in done.complaint


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--set", "dataset.options.size=10000000"], 2, "size = 10000000"),
        (["--set", "augment.size=10000000"], 2, "size = 10000000"),
        (["--set", f"dataset.options.max_count={10**30}"], 2, "expected a number of at most 64 bits"),
        (["--set", f"dataset.options.train_counts=[{10**30}, 5]"], 2, "expected a number of at most 64 bits"),
        (["--set", f"dataset.options.num_classes={10**30}"], 2, "num_classes"),
    ],
)
def test_options_beyond_reason_are_one_line(
    ltb: Callable[..., Outcome], options: list[str], code: int, said: str
) -> None:
    done = ltb("run", "--method", "baseline", "--dry-run", *options)
    assert (done.code, said in done.complaint) == (code, True), done.err


def test_an_empty_test_split_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "void.py").write_text(EMPTY_TEST_SPLIT)
    options = ["--plugin", tmp_path / "void.py", "run", "--dataset", "void-lt", "--method", "baseline"]
    done = in_subprocess(options, tmp_path / "cache")
    assert done.code == 4
    assert any("void-lt: the test split is empty" in line for line in done.err.splitlines())
    assert "bug" not in done.err


def test_a_damaged_packed_copy_is_refused_and_packed_again(
    ltb: Callable[..., Outcome],
    root: Path,  # noqa: F811
) -> None:
    packing = ("data", "pack", "folder", "--data-root", root, "--set", "short_side=40")
    packed = ("--set", "dataset.options.storage=packed", "--set", "dataset.options.short_side=40", "--json")
    assert ltb(*packing).code == 0
    first = record(run(ltb, root, *packed))
    (path,) = (root / "packed" / "folder").glob("test-*.pack")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    again = ltb(*packing)
    assert again.code == 0, again.err
    assert (
        f"{path} is damaged: image 11 is not what was written (checksum); set aside as {path.name}.damaged" in again.err
    )
    assert again.out.count("was there, verified") == 2
    assert identity(record(run(ltb, root, *packed))) == identity(first)
    path.write_bytes(b"")
    refused = run(ltb, root, *packed)
    assert (refused.code, "let 'ltbench data pack' set it aside and pack again" in refused.err) == (4, True)
    assert ltb(*packing).code == 0
    shutil.copy(root / "test" / "b" / "2.jpg", root / "test" / "b" / "1.jpg")
    refused = run(ltb, root, *packed)
    assert (refused.code, f"was made of other images than are there now ({root}/test/b/1.jpg)" in refused.err) == (
        4,
        True,
    )
    assert ltb(*packing).code == 0
    assert record(run(ltb, root, *packed))["dataset"]["fingerprint"] != first["dataset"]["fingerprint"]


def test_a_packed_copy_needs_no_originals(ltb: Callable[..., Outcome], tmp_path: Path, own_cache: Path) -> None:
    photos, classes = tmp_path / "photos", {"a": 4, "b": 3}
    lists = []
    for number, split in enumerate(("train", "val", "test")):
        tree(photos / "images" / split, classes, seed=number)
        names = [
            f"images/{split}/{name}/{k}.jpg {label}" for label, name in enumerate(classes) for k in range(classes[name])
        ]
        (photos / f"{split}.txt").write_text("\n".join(names))
        lists += ["--set", f"dataset.options.{split}={split}.txt"]
    from_files = record(run(ltb, photos, *lists, "--json"))
    assert ltb("data", "pack", "folder", "--data-root", photos, "--in-cache", *lists).code == 0
    shutil.rmtree(photos / "images")
    found = record(run(ltb, photos, *lists, "--set", "dataset.options.storage=packed", "--json"))
    assert found["dataset"]["fingerprint"] == from_files["dataset"]["fingerprint"]
    assert found["stages"] != from_files["stages"]
