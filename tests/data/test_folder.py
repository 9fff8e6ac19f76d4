from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ltbench_datasets.folder import Folder, FolderOptions
from PIL import Image
from pydantic import ValidationError

import ltbench
from ltbench.data.base import SPLITS
from ltbench.errors import DataError, UsageError

BALANCED = {"ape": 16, "bee": 16, "cat": 16}


def opened(root: Path | None, **options: Any) -> Folder:
    return Folder(FolderOptions(**options), root)


def counts(dataset: Folder, split: str) -> list[int]:
    return np.bincount(dataset.image_list(split).labels, minlength=dataset.num_classes).tolist()


def plant(folder: Path, images_of: Mapping[str, int]) -> None:
    """Empty files in place of images: what is in them does not matter before a split is opened."""
    for name, number in images_of.items():
        (folder / name).mkdir(parents=True)
        for image in range(number):
            (folder / name / f"{image:03d}.jpg").touch()


def write_list(path: Path, images_of: Mapping[str, int], labels: Mapping[str, int]) -> None:
    lines = [f"{name}/{image:03d}.jpg {labels[name]}\n" for name, n in images_of.items() for image in range(n)]
    path.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three splits in the usual places; the folders were made in another order than the alphabet's."""
    for split, each in (("train", {"cat": 5, "ape": 2, "bee": 4}), ("val", {"bee": 1, "cat": 2, "ape": 1})):
        plant(tmp_path / split, each)
    plant(tmp_path / "test", {"ape": 3, "bee": 3, "cat": 3})
    return tmp_path


def test_splits_in_their_usual_places(root: Path) -> None:
    dataset = opened(root)
    assert dataset.class_names == ["ape", "bee", "cat"]
    assert [counts(dataset, split) for split in SPLITS] == [[2, 4, 5], [1, 1, 2], [3, 3, 3]]
    train = dataset.image_list("train")
    assert train.labels.dtype == np.int64
    assert train.names[:3] == ["train/ape/000.jpg", "train/ape/001.jpg", "train/bee/000.jpg"]
    for split in SPLITS:
        images = dataset.image_list(split)
        assert [dataset.class_names.index(name.split("/")[1]) for name in images.names] == images.labels.tolist()
        assert [str(root / name) for name in images.names] == list(images.files)
        assert all(Path(file).is_file() for file in images.files)


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_other_usual_names_of_the_validation_split(root: Path, name: str) -> None:
    (root / "val").rename(root / name)
    assert counts(opened(root), "val") == [1, 1, 2]


def test_splits_that_are_named(root: Path) -> None:
    before = {split: counts(opened(root), split) for split in SPLITS}
    (root / "deep").mkdir()
    for split in SPLITS:
        (root / split).rename(root / "deep" / f"my {split}")
    dataset = opened(root, train="deep/my train/", val="./deep/my val", test="deep/my test")
    assert {split: counts(dataset, split) for split in SPLITS} == before
    assert dataset.image_list("val").names[0] == "deep/my val/ape/000.jpg"


def test_every_folder_that_holds_images_is_a_class(root: Path) -> None:
    for split in SPLITS:
        plant(root / split, {"a/arch": 3, "a/barn/outdoor": 3})
    assert opened(root).class_names == ["a/arch", "a/barn/outdoor", "ape", "bee", "cat"]


def test_what_is_no_image_is_passed_over(root: Path) -> None:
    before = opened(root).fingerprint
    for name in ("Thumbs.db", "labels.txt", "._000.jpg"):
        (root / "train" / "cat" / name).touch()
    plant(root / "train", {"cat/.ipynb_checkpoints": 3, ".trash": 2})
    (root / "train" / "empty").mkdir()
    assert opened(root).fingerprint == before
    (root / "train" / "cat" / "SCAN.JPEG").touch()
    assert "train/cat/SCAN.JPEG" in opened(root).image_list("train").names


def test_links_to_folders_are_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = opened(root).fingerprint
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (root / "train" / "cat").rename(elsewhere / "cat")
    (root / "train" / "cat").symlink_to(elsewhere / "cat")
    (root / "test").rename(elsewhere / "test")
    (root / "test").symlink_to(elsewhere / "test")
    assert opened(root).fingerprint == before


def test_a_root_without_splits_is_carved_into_three(tmp_path: Path) -> None:
    plant(tmp_path, BALANCED)
    dataset = opened(tmp_path, test_per_class=4, val_per_class=3)
    assert [counts(dataset, split) for split in SPLITS] == [[9] * 3, [3] * 3, [4] * 3]
    names = [name for split in SPLITS for name in dataset.image_list(split).names]
    assert sorted(names) == sorted(f"{name}/{image:03d}.jpg" for name in BALANCED for image in range(16))
    other = opened(tmp_path, test_per_class=4, val_per_class=3, seed=1)
    assert sorted(other.image_list("test").names) != sorted(dataset.image_list("test").names)


def test_the_root_is_the_training_images_where_the_user_says_so(tmp_path: Path) -> None:
    plant(tmp_path, {"exam": 4, "test": 4})
    with pytest.raises(DataError, match="has a subfolder test, but none named train.*options.train=NAME"):
        opened(tmp_path).image_list("train")
    assert opened(tmp_path, train=".", test_per_class=1).class_names == ["exam", "test"]


def test_an_imbalance_keeps_the_order_of_frequency(tmp_path: Path) -> None:
    plant(tmp_path / "train", {"rare": 30, "most": 64, "other": 33, "ten": 60})
    plant(tmp_path / "val", dict.fromkeys(("rare", "most", "other", "ten"), 2))
    plant(tmp_path / "test", dict.fromkeys(("rare", "most", "other", "ten"), 2))
    dataset = opened(tmp_path, imbalance=8)
    assert dataset.class_names == ["most", "other", "rare", "ten"]
    assert counts(dataset, "train") == [64, 16, 8, 32]  # ranks 0, 2, 3 and 1 of 64 / 2^rank
    assert counts(dataset, "val") == counts(dataset, "test") == [2] * 4
    images = dataset.image_list("train")
    assert [dataset.class_names.index(name.split("/")[1]) for name in images.names] == images.labels.tolist()
    assert len(set(images.names)) == 120


def test_the_test_split_is_carved_before_the_imbalance_and_validation_after(tmp_path: Path) -> None:
    plant(tmp_path, BALANCED)
    options: dict[str, Any] = {"test_per_class": 4, "val_per_class": 3}
    dataset = opened(tmp_path, imbalance=4, **options)
    assert counts(dataset, "test") == [4, 4, 4]
    assert counts(dataset, "val") == [3, 3, 1]
    assert counts(dataset, "train") == [12 - 3, 6 - 3, 3 - 1]
    assert dataset.image_list("test").names == opened(tmp_path, **options).image_list("test").names


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    for split, each in (("train", 4), ("val", 1), ("test", 2)):
        labels = {f"img/{split}/{name}": label for label, name in enumerate(("b/bar", "a/arch", "a/barn/outdoor"))}
        write_list(tmp_path / f"{split}.txt", dict.fromkeys(labels, each), labels)
    return tmp_path


LISTS = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}


def test_lists_of_paths_and_labels(listed: Path) -> None:
    dataset = opened(listed, **LISTS)
    assert [counts(dataset, split) for split in SPLITS] == [[4] * 3, [1] * 3, [2] * 3]
    assert dataset.image_list("val").names[1] == "img/val/a/arch/000.jpg"
    assert dataset.image_list("val").files[1] == str(listed / "img/val/a/arch/000.jpg")
    assert dataset.class_names == ["b/bar", "a/arch", "a/barn/outdoor"]


def test_lists_may_lie_elsewhere_and_leave_validation_to_us(
    listed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    images = tmp_path_factory.mktemp("images")
    (images / "val").mkdir()  # a folder of images, but no split beside lists
    dataset = opened(images, train=str(listed / "train.txt"), test=str(listed / "test.txt"), val_per_class=1)
    assert [counts(dataset, split) for split in SPLITS] == [[3] * 3, [1] * 3, [2] * 3]
    assert dataset.image_list("test").files[0] == str(images / "img/test/b/bar/000.jpg")


@pytest.mark.parametrize(
    "train", ["one/1.jpg 0\none/2.jpg 1\n", "one/1.jpg 0\ntwo/2.jpg 0\nthree/3.jpg 1\n", "1.jpg 0\ntwo/2.jpg 1\n"]
)
def test_labels_are_names_where_folders_do_not_tell_classes_apart(tmp_path: Path, train: str) -> None:
    (tmp_path / "train.txt").write_text(train)
    for split in ("val", "test"):
        (tmp_path / f"{split}.txt").write_text(f"{split}/1.jpg 0\n{split}/2.jpg 1\n")
    assert opened(tmp_path, **LISTS).class_names == ["0", "1"]


def test_the_fingerprint_follows_images_and_draw_but_not_the_place(root: Path, tmp_path_factory: Any) -> None:
    first = opened(root).fingerprint
    copy = tmp_path_factory.mktemp("copy") / "data"
    root.rename(copy)
    assert opened(copy).fingerprint == first
    assert opened(copy, seed=1).fingerprint == first  # nothing is drawn
    drawn = {opened(copy, imbalance=2, seed=seed).fingerprint for seed in range(3)}
    assert len(drawn | {first}) == 4
    (copy / "val" / "ape" / "000.jpg").rename(copy / "val" / "ape" / "001.jpg")
    assert opened(copy).fingerprint != first


def untouched(root: Path) -> None:
    pass


def mix(root: Path) -> None:
    write_list(root / "val.txt", {"x": 1, "y": 1, "z": 1}, {"x": 0, "y": 1, "z": 2})


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda root: (root / "train").rename(root / "set"), {}, "subfolder val, but none named train"),
        (lambda root: (root / "test").rename(root / "set"), {}, "no test split.*test_per_class=N"),
        (untouched, {"test_per_class": 1}, "test_per_class is set, but there is a test split"),
        (lambda root: (root / "val/ape").rename(root / "ape"), {}, r"val: no val images of class ape\."),
        (lambda root: plant(root / "train", {"dog": 2, "elk": 2}), {}, "no val images of class dog and 1 more"),
        (lambda root: plant(root / "test", {"dog": 1}), {}, "test images of class dog, but no training images"),
        (lambda root: (root / "train/x.jpg").touch(), {}, r"train holds x\.jpg outside any class"),
        (lambda root: (root / "void").mkdir(), {"val": "void"}, r"void holds no images \(\.jpg"),
        (lambda root: plant(root / "solo", {"ape": 3}), {"train": "solo"}, "only one class, ape"),
        (untouched, {"train": "trian"}, "train = trian: there is no "),
        (untouched, {"val": ".."}, r"val = \.\.: a folder of images has to lie in the data root"),
        (untouched, {"test": "train"}, r"train/ape/000\.jpg of test stands already in train"),
        (mix, {"val": "val.txt"}, "folders for all splits, or lists for all"),
        (untouched, {"imbalance": 9}, "an imbalance factor of 9 leaves.*at most 5"),
    ],
)
def test_mistakes_are_errors_that_say_where(
    root: Path, change: Callable[[Path], Any], options: dict[str, Any], message: str
) -> None:
    change(root)
    with pytest.raises((DataError, UsageError), match=message) as caught:
        opened(root, **options).image_list("train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a/1.jpg 0\nb/1.jpg 2\n", "no training images of class 1, but labels go up to 2"),
        ("a/1.jpg 0\nb/1.jpg 999999999\n", "no training images of class 1, but labels go up to 999999999"),
        ("a/1.jpg 0\nb/1.jpg 1\na/1.jpg 0\n", r"a/1\.jpg of train stands already in train"),
        ("a/1.jpg 0\nb/1.jpg 1\n", "no class has a second image"),
        ("a/1.jpg 0\nb/1.jpg 1\nc/1.jpg 2\n", r"test\.txt: no test images of class 2"),
    ],
)
def test_mistakes_in_lists(tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "train.txt").write_text(lines)
    (tmp_path / "test.txt").write_text("a/2.jpg 0\nb/2.jpg 1\n")
    with pytest.raises(DataError, match=message):
        opened(tmp_path, train="train.txt", test="test.txt").image_list("train")


def test_a_test_split_has_to_be_balanced(tmp_path: Path) -> None:
    plant(tmp_path, {"ape": 16, "bee": 7})
    with pytest.raises(DataError, match=r"class bee has only 7 images.*at most 3\."):
        opened(tmp_path, test_per_class=4).image_list("test")
    assert counts(opened(tmp_path, test_per_class=3), "test") == [3, 3]


def test_a_root_is_needed_and_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data-root"):
        opened(None).image_list("train")
    with pytest.raises(DataError, match=f"no folder {tmp_path}/none"):
        opened(tmp_path / "none").image_list("train")


@pytest.mark.parametrize("wrong", [{"imbalance": 0.5}, {"val_per_class": 0}, {"test_per_class": 0}, {"seed": -1}])
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        FolderOptions(**wrong)


def test_a_split_is_opened(tmp_path: Path, cache: Path) -> None:
    for label, name in enumerate(("ape", "bee")):
        (tmp_path / name).mkdir()
        for image in range(8):
            Image.new("RGB", (40, 30), (100 * label, 10 * image, 0)).save(tmp_path / name / f"{image}.png")
    dataset = ltbench.get_dataset("folder", root=tmp_path, test_per_class=2, val_per_class=1, imbalance=2)
    assert dataset.train_counts.tolist() == [5, 2]
    test = dataset.split("test")
    batch = test.__getitems__(range(len(test)))
    assert batch.images.dtype == torch.uint8 and batch.images.shape[:2] == (4, 3)
    assert batch.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(batch.images[:, 0].flatten(1).float().mean(1), 100.0 * batch.labels)


@pytest.mark.parametrize("target", ["../..", "..", ".", "../bee"])
def test_a_link_to_a_folder_that_is_read_anyway_is_refused(root: Path, target: str) -> None:
    (root / "train" / "cat" / "again").symlink_to(target)
    with pytest.raises(DataError, match=r"train/.* is a link that leads to .*train.*, which is read already"):
        opened(root).image_list("train")


def test_a_link_to_nowhere_or_to_itself_is_no_folder(root: Path) -> None:
    before = opened(root).image_list("train").names
    (root / "train" / "cat" / "loop").symlink_to("loop")
    (root / "train" / "cat" / "nowhere").symlink_to("nothing")
    assert opened(root).image_list("train").names == before
