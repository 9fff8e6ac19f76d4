"""ImageNet-LT, Places-LT and iNaturalist 2018 on drawn lists and trees in the real layouts."""

import gzip
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltbench.api import get_dataset
from ltbench.data.base import Dataset
from ltbench.errors import DataError

from .drawn_lists import SPELLINGS, TREES, draw_places_tree, draw_tree, places_lists, write_lists

PLACES = ([9, 5, 2, 7], 2, 3)
"""Training images of each class; validation and test images of every class."""


@pytest.fixture
def lists(tmp_path: Path, cache: Path) -> Path:
    return write_lists(tmp_path / "lists", "Places_LT", places_lists("easy-dir", *PLACES))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return draw_places_tree(tmp_path / "images", "easy", *PLACES)


def opened(name: str, root: Path | None, **options: Any) -> Any:
    return get_dataset(name, root, **options)


@pytest.mark.parametrize("tree_layout", TREES)
def test_every_spelling_of_the_lists_serves_every_layout_of_the_images(
    tmp_path: Path, cache: Path, tree_layout: str
) -> None:
    root = draw_places_tree(tmp_path / "images", tree_layout, *PLACES)
    names, fingerprints = [], set()
    for spelling in SPELLINGS:
        folder = write_lists(tmp_path / spelling, "Places_LT", places_lists(spelling, *PLACES))
        dataset = opened("places-lt", root, lists=folder)
        for split in ("train", "val", "test"):
            images = dataset.image_list(split)
            assert all(Path(file).is_file() for file in images.files)
            names.append((split, tuple(images.names), tuple(images.labels)))
        fingerprints.add(dataset.fingerprint)
        assert dataset.class_names == ["a_room000", "g_room001-indoor", "n_room002", "t_room003"]
        assert dataset.train_counts.tolist() == PLACES[0]
    assert len(set(names)) == 3
    assert len(fingerprints) == 1


def test_the_fingerprint_does_not_depend_on_the_layout_of_the_images(tmp_path: Path, lists: Path) -> None:
    roots = [draw_places_tree(tmp_path / layout, layout, *PLACES) for layout in TREES]
    assert len({opened("places-lt", root, lists=lists).fingerprint for root in roots}) == 1


def test_another_label_changes_the_fingerprint(tmp_path: Path, cache: Path) -> None:
    root = draw_places_tree(tmp_path / "images", "original", *PLACES)  # its test images lie in one folder
    lines = places_lists("data_256", *PLACES)
    published = opened("places-lt", root, lists=write_lists(tmp_path / "published", "Places_LT", lines))
    lines["test"][0] = lines["test"][0].replace(" 0", " 1")
    changed = opened("places-lt", root, lists=write_lists(tmp_path / "changed", "Places_LT", lines))
    assert changed.fingerprint != published.fingerprint


@pytest.mark.parametrize("place", ["", "lists", "Places_LT"])
def test_lists_are_found_in_and_below_the_data_root(tree: Path, cache: Path, place: str) -> None:
    write_lists(tree / place, "Places_LT", places_lists("data_256", *PLACES))
    assert len(opened("places-lt", tree).image_list("train")) == sum(PLACES[0])


def test_fetched_and_gzipped_lists_are_found(tree: Path, cache: Path) -> None:
    folder = cache / "lists" / "places-lt"
    for file in write_lists(folder, "Places_LT", places_lists("easy-dir", *PLACES)).glob("*.txt"):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert len(opened("places-lt", tree).image_list("test")) == 12


def test_a_list_in_the_cache_that_is_not_the_published_one_costs_a_line(
    tree: Path, lists: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened("places-lt", tree, lists=lists).image_list("train")
    assert capsys.readouterr().err == ""
    write_lists(cache / "lists" / "places-lt", "Places_LT", places_lists("easy-dir", *PLACES))
    opened("places-lt", tree).image_list("train")
    said = capsys.readouterr().err.splitlines()
    assert [
        f"Places_LT_{split}.txt is none of the published lists" in line
        for split, line in zip(("train", "val", "test"), said, strict=True)
    ] == [True] * 3


def test_without_lists_it_says_where_it_looked_and_how_to_get_them(tree: Path, cache: Path) -> None:
    said = rf"Places_LT_train\.txt .* is in none of {re.escape(str(tree))}, .*'ltbench data fetch places-lt'"
    with pytest.raises(DataError, match=said):
        opened("places-lt", tree).image_list("val")


def test_missing_images_are_counted_and_named_with_their_download(tree: Path, lists: Path) -> None:
    gone = [tree / "train" / "a_room000" / f"{image:08d}.jpg" for image in (0, 2, 4, 6)]
    for file in gone:
        file.unlink()
    shutil.rmtree(tree / "val" / "n_room002")
    with pytest.raises(DataError) as raised:
        opened("places-lt", tree, lists=lists).image_list("train")
    said = str(raised.value)
    assert "4 of 23 images of the train split are missing" in said
    assert [str(file) in said for file in gone] == [True, True, True, False]
    assert "places365standard_easyformat.tar" in said
    assert "on_bad_image=skip" in said
    with pytest.raises(DataError, match=r"3 of 12 images of the test split .* val_256\.tar"):
        opened("places-lt", tree, lists=lists).image_list("test")


def test_missing_images_have_their_place_when_they_are_to_be_skipped(tree: Path, lists: Path) -> None:
    gone = tree / "train" / "t_room003" / "00000003.jpg"
    gone.unlink()
    images = opened("places-lt", tree, lists=lists, on_bad_image="skip").image_list("train")
    assert len(images) == 23
    assert [file for file in images.files if not Path(file).is_file()] == [str(gone)]


@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
def test_a_root_without_any_known_folder_is_refused(tmp_path: Path, lists: Path, on_bad_image: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"23 of 23 images .* none of the known folders: train/\{category\}"):
        opened("places-lt", tmp_path / "empty", lists=lists, on_bad_image=on_bad_image).image_list("train")


def test_without_a_root_it_asks_for_one(lists: Path) -> None:
    with pytest.raises(
        DataError, match=r"places-lt needs the folder of its images: --data-root DIR\. .*easyformat\.tar"
    ):
        opened("places-lt", None, lists=lists).image_list("train")


def test_a_packed_copy_needs_no_images(lists: Path) -> None:
    images = opened("places-lt", None, lists=lists, storage="packed").image_list("test")
    assert images.names[0] == "val/a_room000/Places365_val_00000000.jpg"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "train/g_room001-indoor/00000002.jpg 1",
            "train/g_room001-indoor/00000002.jpg 3",
            "line 12: .* label 3, but 4 images of",
        ),
        ("00000001.jpg 2", "00000001.jpg two", "line 16: expected 'path label'"),
    ],
)
def test_a_training_list_that_is_wrong_is_refused_with_the_line(
    tree: Path, lists: Path, old: str, new: str, said: str
) -> None:
    file = lists / "Places_LT_train.txt"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=f"{re.escape(str(file))}, {said}"):
        opened("places-lt", tree, lists=lists).image_list("train")


def test_a_class_without_training_images_is_named(tree: Path, lists: Path) -> None:
    file = lists / "Places_LT_train.txt"
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if not line.endswith(" 1\n")))
    with pytest.raises(DataError, match="no image with label 1, but one with label 3"):
        opened("places-lt", tree, lists=lists).image_list("train")


def test_a_test_label_beyond_the_classes_is_named(tree: Path, lists: Path) -> None:
    file = lists / "Places_LT_test.txt"
    file.write_text(file.read_text().replace("00000004.jpg 1", "00000004.jpg 4"))
    with pytest.raises(DataError, match=r"Places_LT_test\.txt, line 5: label 4, but the training list has 4 classes"):
        opened("places-lt", tree, lists=lists).image_list("test")


WORDNET = ["n01440764", "n01443537"]
IMAGENET = {
    "train": [
        f"train/{folder}/{folder}_{image}.JPEG {label}" for label, folder in enumerate(WORDNET) for image in range(4)
    ],
    "val": [
        f"train/{folder}/{folder}_9{image}.JPEG {label}" for label, folder in enumerate(WORDNET) for image in range(2)
    ],
    "test": [f"val/{WORDNET[image % 2]}/ILSVRC2012_val_{image:08d}.JPEG {image % 2}" for image in range(6)],
}
FLAT = [line.replace(f"{folder}/", "") for line in IMAGENET["test"] for folder in WORDNET if f"/{folder}/" in line]


@pytest.mark.parametrize("below", ["", "ILSVRC2012", "ILSVRC/Data/CLS-LOC"])
@pytest.mark.parametrize("on_disk", [IMAGENET["test"], FLAT], ids=["folders", "flat"])
@pytest.mark.parametrize("listed", [IMAGENET["test"], FLAT], ids=["folders", "flat"])
def test_imagenet_with_validation_images_in_folders_or_flat(
    tmp_path: Path, cache: Path, listed: list[str], on_disk: list[str], below: str
) -> None:
    write_lists(tmp_path / "lists", "ImageNet_LT", IMAGENET | {"test": listed})
    draw_tree(tmp_path, IMAGENET["train"], IMAGENET["val"], on_disk, below=below)
    dataset = opened("imagenet-lt", tmp_path)
    assert dataset.class_names == WORDNET
    assert [len(dataset.image_list(split)) for split in ("train", "val", "test")] == [8, 4, 6]
    test = dataset.image_list("test")
    assert test.names[3] == "val/n01443537/ILSVRC2012_val_00000003.JPEG"
    assert test.files[3] == str(tmp_path / below / on_disk[3].rpartition(" ")[0])


def naturalist(tmp_path: Path) -> Dataset:
    """Classes of 9, 5 and 2 images, shuffled as the real list is."""
    folders = ["Aves/0", "Fungi/1", "Plantae/2"]
    train = [
        f"train_val2018/{folders[label]}/{image}{label}.jpg {label}"
        for label, n in enumerate((9, 5, 2))
        for image in range(n)
    ]
    order = np.random.default_rng(0).permutation(len(train))
    lists = {
        "train": [train[position] for position in order],
        "val": [
            f"train_val2018/{folders[label]}/v{image}{label}.jpg {label}" for image in range(3) for label in (2, 0, 1)
        ],
    }
    write_lists(tmp_path, "iNaturalist18", lists)
    return opened("inaturalist2018", draw_tree(tmp_path, *lists.values()))


def test_inaturalist_is_tested_on_its_validation_list_and_validated_on_training_images(
    tmp_path: Path, cache: Path
) -> None:
    dataset = naturalist(tmp_path)
    splits = {split: dataset.image_list(split) for split in ("train", "val", "test")}
    assert dataset.class_names == ["Aves/0", "Fungi/1", "Plantae/2"]
    assert np.bincount(splits["val"].labels).tolist() == [3, 2, 1]
    assert np.bincount(splits["train"].labels).tolist() == [6, 3, 1]
    assert np.bincount(splits["test"].labels).tolist() == [3, 3, 3]
    assert splits["test"].names[0] == "train_val2018/Plantae/2/v02.jpg"
    assert len({name for images in splits.values() for name in images.names}) == 9 + 5 + 2 + 9


def test_the_carved_images_are_the_same_every_time(tmp_path: Path, cache: Path) -> None:
    assert naturalist(tmp_path).fingerprint == naturalist(tmp_path).fingerprint
