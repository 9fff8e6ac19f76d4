"""A dataset of files is its content: another pixel is other data, another place or time is not; files are read once."""

import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from ltbench_datasets.folder import Folder, FolderOptions
from pictures import tree

from ltbench.data.images import contents
from ltbench.data.images.contents import read_contents
from ltbench.errors import DataError

from .drawn_lists import TREES, draw_places_tree, places_lists, write_lists
from .spoiling import SPOIL


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    for number, split in enumerate(("train", "val", "test")):
        tree(tmp_path / "photos" / split, {"a": 3, "b": 2}, seed=number)
    return tmp_path / "photos"


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read; ones that were just made are remembered, too."""
    read: list[str] = []
    original = contents.read_bytes
    monkeypatch.setattr(contents, "SETTLED_NS", -(10**9))
    monkeypatch.setattr(contents, "read_bytes", lambda path: read.append(path) or original(path))
    return read


def fingerprint(root: Path, **options: object) -> str:
    return Folder(FolderOptions(**options), root).fingerprint


def every_file(root: Path) -> list[str]:
    return sorted(str(path) for path in root.rglob("*.jpg"))


def flip_a_byte(path: Path) -> None:
    spoilt = bytearray(path.read_bytes())
    spoilt[-3] ^= 1
    path.write_bytes(spoilt)


def test_digests_are_of_the_bytes(root: Path) -> None:
    files = [*every_file(root), str(root / "none.jpg")]
    found = read_contents(files, root)
    expected = [sha256(Path(file).read_bytes()).digest() for file in files[:-1]]
    assert [row.tobytes() for row in found.digests] == [*expected, bytes(32)]
    assert found.wrong == {len(files) - 1: "no such file"}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_one_byte_of_one_image_is_another_dataset(root: Path, split: str) -> None:
    before = fingerprint(root)
    flip_a_byte(root / split / "b" / "1.jpg")
    assert fingerprint(root) != before


def test_two_images_that_change_places_are_another_dataset(root: Path) -> None:
    before = fingerprint(root)
    one, other = root / "test" / "a" / "0.jpg", root / "test" / "a" / "1.jpg"
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    assert fingerprint(root) != before


def test_the_same_names_with_other_pixels_are_another_dataset(root: Path, tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        tree(tmp_path / "noise" / split, {"a": 3, "b": 2}, seed=100 + number)
    assert [Path(file).relative_to(tmp_path / "noise") for file in every_file(tmp_path / "noise")] == [
        Path(file).relative_to(root) for file in every_file(root)
    ]
    assert fingerprint(tmp_path / "noise") != fingerprint(root)


def copy(root: Path) -> Path:
    return Path(shutil.copytree(root, root.with_name("copy")))


def move(root: Path) -> Path:
    return root.rename(root.with_name("moved"))


def touch(root: Path) -> Path:
    for file in every_file(root):
        os.utime(file, ns=(1, 1))
    return root


def link(root: Path) -> Path:
    for file in every_file(root):
        os.link(file, f"{file}.hard")
    return root


@pytest.mark.parametrize("change", [copy, move, touch, link])
def test_the_same_bytes_are_the_same_dataset(root: Path, change: Callable[[Path], Path]) -> None:
    before = fingerprint(root)
    assert fingerprint(change(root)) == before


def test_published_lists_keep_one_fingerprint_over_their_layouts_and_not_over_other_pixels(
    tmp_path: Path, cache: Path
) -> None:
    from ltbench.api import get_dataset

    of_places = ([4, 3, 2], 2, 2)
    lists = write_lists(tmp_path / "lists", "Places_LT", places_lists("easy-dir", *of_places))
    roots = [draw_places_tree(tmp_path / layout, layout, *of_places) for layout in TREES]
    found = {get_dataset("places-lt", root, lists=lists).fingerprint for root in roots}
    assert len(found) == 1
    flip_a_byte(next(roots[0].rglob("*.jpg")))
    assert get_dataset("places-lt", roots[0], lists=lists).fingerprint not in found


def test_a_second_start_reads_no_file(root: Path, opens: list[str]) -> None:
    first = fingerprint(root)
    assert sorted(opens) == every_file(root)
    opens.clear()
    assert fingerprint(root) == first
    assert fingerprint(root, val="val", imbalance=1) == first
    assert opens == []


def test_only_what_changed_is_read_again(root: Path, opens: list[str]) -> None:
    fingerprint(root)
    opens.clear()
    changed = root / "train" / "a" / "0.jpg"
    flip_a_byte(changed)
    (root / "train" / "a" / "new.jpg").write_bytes(b"new")
    assert (fingerprint(root), sorted(opens)) == (fingerprint(root), [str(changed), str(root / "train/a/new.jpg")])


def test_a_file_of_the_same_size_and_time_is_read_again(root: Path, opens: list[str]) -> None:
    file = root / "train" / "a" / "0.jpg"
    first, before = fingerprint(root), file.stat()
    flip_a_byte(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert fingerprint(root) != first


def test_another_tree_put_in_the_place_of_one_is_read(root: Path, opens: list[str], tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        tree(tmp_path / "other" / split, {"a": 3, "b": 2}, seed=9)
    first, other = fingerprint(root), fingerprint(tmp_path / "other")
    root.rename(tmp_path / "aside")
    (tmp_path / "other").rename(root)
    assert fingerprint(root) == other != first


def test_what_was_just_made_is_not_remembered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change within the clock's tick leaves the stamp as it was."""
    read: list[str] = []
    original = contents.read_bytes
    monkeypatch.setattr(contents, "SETTLED_NS", 3600 * 10**9)
    monkeypatch.setattr(contents, "read_bytes", lambda path: read.append(path) or original(path))
    for _ in range(2):
        fingerprint(root)
    assert len(read) == 2 * len(every_file(root))


def test_an_interrupted_reading_keeps_what_was_read(
    root: Path, opens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_TOGETHER", 2)
    original, last = contents._read_part, every_file(root)[-2:]

    def interrupted(files: list[str]) -> object:
        if set(last) & set(files):
            raise KeyboardInterrupt
        return original(files)

    with monkeypatch.context() as patch:
        patch.setattr(contents, "_read_part", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_contents(every_file(root), root)
    opens.clear()
    read_contents(every_file(root), root)
    assert set(last) <= set(opens) and len(opens) <= 4


@pytest.mark.parametrize("kind", SPOIL)
def test_a_spoilt_memory_of_contents_is_made_again_with_a_line(
    root: Path, cache: Path, opens: list[str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = fingerprint(root)
    (memo,) = (cache / "contents").glob("*.safetensors")
    for position in range(0, memo.stat().st_size, 97) if kind == "flip" else [0]:
        opens.clear()
        SPOIL[kind](memo, position)
        assert fingerprint(root) == first
        assert sorted(opens) == every_file(root)
        assert capsys.readouterr().err.count("\n") == (kind != "delete")


def test_a_file_that_is_changed_after_the_fingerprint_is_noticed_when_it_is_read(root: Path) -> None:
    dataset = Folder(FolderOptions(), root)
    train = dataset.split("train")
    _ = dataset.fingerprint
    file = root / "train" / "a" / "1.jpg"
    os.utime(file, ns=(5, 5))
    assert train[1].labels.tolist() == [0]
    file.write_bytes((root / "train" / "a" / "0.jpg").read_bytes())
    assert train[0].labels.tolist() == [0]
    with pytest.raises(DataError, match=r"train/a/1\.jpg was changed after the run began\. .*run it again"):
        train[1]


def test_a_file_that_cannot_be_read_has_no_fingerprint(root: Path) -> None:
    file = root / "train" / "a" / "1.jpg"
    file.unlink()
    file.symlink_to(root / "nowhere.jpg")
    with pytest.raises(DataError, match=r"image .*train/a/1\.jpg: no such file\. .*--on-bad-image skip"):
        fingerprint(root)
    assert len(Folder(FolderOptions(on_bad_image="skip"), root).lists["train"]) == 4


def test_the_order_of_the_files_is_kept(root: Path, opens: list[str]) -> None:
    files = every_file(root)
    backwards = read_contents(files[::-1], root)
    assert np.array_equal(read_contents(files, root).digests, backwards.digests[::-1])
    assert len(opens) == len(files)
