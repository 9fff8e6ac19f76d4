"""``ltbench data``."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from data.drawn_lists import draw_places_tree, places_lists, write_lists
from ltbench_datasets.published import list_diff
from ltbench_datasets.published.annotations import git_blob
from ltbench_datasets.published.facts import KnownList, known_counts

from ltbench.cli import invoke

pytestmark = pytest.mark.usefixtures("having_also")

SMALL = ([4, 3, 2], 1, 2)


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def data(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def data(*arguments: object) -> Said:
        code = invoke(["data", *map(str, arguments)])
        return Said(code, *capsys.readouterr())

    return data


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tree with its lists, which pass as the published ones; returns the data root."""
    lines = places_lists("data_256", *SMALL)
    known = []
    for name, listed in lines.items():
        content = "".join(f"{line}\n" for line in listed).encode()
        known.append(KnownList("places-lt", name, "drawn", "", git_blob(content), len(listed), "", ()))
    monkeypatch.setattr(list_diff, "known_lists", lambda dataset: known)
    root = draw_places_tree(tmp_path / "places", "easy", *SMALL)
    write_lists(root / "lists", "Places_LT", lines)
    return root


def row(text: str, *words: str) -> str:
    (found,) = (line for line in text.splitlines() if line.split()[: len(words)] == list(words))
    return found


def test_everything_is_well(data: Callable[..., Said], places: Path) -> None:
    said = data("check", "places-lt", "--data-root", places)
    assert said.code == 0
    assert "9 images, published variant drawn" in row(said.out, "train", "list", "ok")
    assert "9 of 9 there in train/{category}, 0 unreadable" in row(said.out, "train", "images", "ok")
    assert "6 of 6 there in val/{category}, 0 unreadable" in row(said.out, "test", "images", "ok")


def test_what_is_missing_and_what_cannot_be_decoded_is_named(data: Callable[..., Said], places: Path) -> None:
    gone, broken = places / "train/a_room000/00000001.jpg", places / "val/r_room002/Places365_val_00000005.jpg"
    gone.unlink()
    broken.write_bytes(broken.read_bytes()[:50])
    said = data("check", "places-lt", "--data-root", places)
    assert said.code == 4
    assert "8 of 9 there" in row(said.out, "train", "images", "wrong")
    assert f"missing: {gone}" in said.out
    assert "they come from places365standard_easyformat.tar" in said.out
    assert "1 unreadable" in row(said.out, "test", "images", "wrong")
    assert f"unreadable: {broken}: " in said.out
    assert "2 of 18 images are missing or unreadable" in said.err
    report = json.loads(data("check", "places-lt", "--data-root", places, "--json").out)
    assert report["ok"] is False
    train, _, test = report["images"]
    assert train["missing"] == [str(gone)]
    assert list(test["unreadable"]) == [str(broken)]


def test_without_decoding_a_broken_image_passes(data: Callable[..., Said], places: Path) -> None:
    (places / "val/r_room002/Places365_val_00000005.jpg").write_bytes(b"")
    said = data("check", "places-lt", "--data-root", places, "--no-decode")
    assert said.code == 0
    assert "not decoded" in row(said.out, "test", "images", "ok")


def test_a_list_that_is_wrong_is_taken_apart(data: Callable[..., Said], places: Path) -> None:
    file = places / "lists" / "Places_LT_train.txt"
    file.write_text(file.read_text().replace("00000002.jpg 1", "00000002.jpg 0"))
    said = data("check", "places-lt", "--data-root", places)
    assert said.code == 4
    assert "no published variant" in row(said.out, "train", "list", "wrong")
    path = "data_256/i/i_room001/indoor/00000002.jpg"
    assert f"line 7: {path} has label 0, but 2 images of 'i_room001-indoor' have label 1" in said.out
    assert "1 of 3 lists are wrong; the images could not be looked at" in said.err


def test_lists_of_an_unknown_variant_pass_when_their_counts_are_right(
    data: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = known_counts("places-lt").by_split["train"].tolist()
    write_lists(tmp_path, "Places_LT", places_lists("easy-dir", train, 20, 100))
    (tmp_path / "train").mkdir()
    said = data("check", "places-lt", "--data-root", tmp_path, "--no-decode")
    assert "no published variant, but of the published number of images in each class" in row(
        said.out, "train", "list", "ok"
    )
    assert "0 of 62,500 there" in row(said.out, "train", "images", "wrong")
    assert said.code == 4


def test_lists_may_be_named(data: Callable[..., Said], places: Path, tmp_path: Path) -> None:
    (places / "lists").rename(tmp_path / "elsewhere")
    assert data("check", "places-lt", "--data-root", places).code == 4
    for prefix in ("", "dataset.options."):
        option = f"{prefix}lists={tmp_path / 'elsewhere'}"
        assert data("check", "places-lt", "--data-root", places, "--set", option).code == 0


def test_a_folder_of_images_is_checked(data: Callable[..., Said], tmp_path: Path) -> None:
    root = draw_places_tree(tmp_path / "mine", "easy", [4, 4], 1, 2)
    (root / "val").rename(root / "test")
    broken = root / "train" / "a_room000" / "00000001.jpg"
    broken.write_bytes(b"no image")
    said = data("check", "folder", "--data-root", root)
    assert said.code == 4
    assert f"unreadable: {broken}" in said.out
    assert "1 of 14 images are missing or unreadable" in said.err


def test_a_dataset_without_files_is_opened(data: Callable[..., Said]) -> None:
    sizes = ("train_counts=[6,4,3]", "num_classes=3", "val_per_class=2", "test_per_class=5")
    said = data("check", "glyphs-lt", *(word for size in sizes for word in ("--set", size)))
    assert said.code == 0
    assert "not made of image files; it could be opened: train 13, val 6, test 15 images" in said.out


def test_a_misspelt_option_and_a_missing_root_are_named(data: Callable[..., Said], tmp_path: Path) -> None:
    said = data("check", "places-lt", "--set", "list=here")
    assert (said.code, "Did you mean 'lists'?" in said.err) == (2, True)
    said = data("check", "places-lt", "--data-root", tmp_path / "none")
    assert (said.code, f"the data root {tmp_path / 'none'} is no folder" in said.err) == (4, True)


def test_list_says_what_is_there(data: Callable[..., Said], places: Path) -> None:
    rows = {entry["name"]: entry for entry in json.loads(data("list", "--data-root", places, "--json").out)}
    assert rows["places-lt"]["lists"] == "found"
    assert rows["places-lt"]["images"] == "folders found: train/{category}, val/{category}"
    assert "ImageNet_LT_train.txt" in rows["imagenet-lt"]["lists"]
    assert "ltbench data fetch imagenet-lt" in rows["imagenet-lt"]["lists"]
    assert rows["inaturalist2018"]["images"].startswith("missing: train_val2018.tar.gz")
    assert rows["glyphs-lt"]["lists"] == ""
    without = {entry["name"]: entry for entry in json.loads(data("list", "--json").out)}
    assert without["places-lt"]["images"] == "not looked for: give --data-root"


def test_fetch_refuses_what_has_no_lists(data: Callable[..., Said]) -> None:
    said = data("fetch", "place-lt")
    assert said.code == 2
    assert "unknown dataset 'place-lt'. Did you mean 'places-lt'?" in said.err
    said = data("fetch", "glyphs-lt")
    assert said.code == 2
    assert "there is nothing to fetch for 'glyphs-lt'" in said.err


def test_fetch_lets_a_dataset_fetch_itself(
    data: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltbench_datasets.cifar_lt import Cifar100LT

    monkeypatch.setattr(Cifar100LT, "fetch", classmethod(lambda cls, root=None: root / "cifar-100-python"))
    said = data("fetch", "cifar100-lt", "--folder", tmp_path)
    assert (said.code, said.out) == (0, f"{tmp_path}/cifar-100-python: downloaded\n")


def test_fetch_puts_lists_where_other_commands_find_them(
    data: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltbench_datasets.published import origin

    lines, known = places_lists("easy-dir", *SMALL), []
    source = write_lists(tmp_path / "server", "Places_LT", lines)
    for name in lines:
        file = source / f"Places_LT_{name}.txt"
        known.append(KnownList("places-lt", name, "v", "", git_blob(file.read_bytes()), 1, "", (file.as_uri(),)))
    monkeypatch.setattr(origin, "known_lists", lambda dataset: known)
    monkeypatch.setattr(list_diff, "known_lists", lambda dataset: known)
    fetched = json.loads(data("fetch", "places-lt", "--json").out)
    assert [entry["outcome"] for entry in fetched] == ["fetched, verified"] * 3
    root = draw_places_tree(tmp_path / "places", "tar", *SMALL)
    assert data("check", "places-lt", "--data-root", root, "--no-decode").code == 0


def test_stats_without_lists_are_table_1(data: Callable[..., Said]) -> None:
    about = json.loads(data("stats", "places-lt", "--json").out)
    assert about["folds"] == {
        "many": {"classes": 132, "images": 52_862},
        "medium": {"classes": 162, "images": 8_834},
        "few": {"classes": 71, "images": 804},
        "all": {"classes": 365, "images": 62_500},
    }
    assert "no list was found; published counts" in about["counted_in"]


def test_stats_count_lists_without_images_and_draw_them(data: Callable[..., Said], tmp_path: Path) -> None:
    write_lists(tmp_path, "Places_LT", places_lists("data_256", [150, 100, 30, 5], 2, 3))
    said = data("stats", "places-lt", "--data-root", tmp_path, "--folds", "kang", "--figure", tmp_path / "counts.png")
    assert said.code == 0
    assert row(said.out, "Many").split() == ["Many", "1", "150"]
    assert row(said.out, "Medium").split() == ["Medium", "2", "130"]
    assert "most frequent class: 150 images, rarest: 5 (30 times fewer)" in said.out
    assert "train: 285 images; val: 8 images; test: 12 images" in said.out
    assert (tmp_path / "counts.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "counts.pdf").read_bytes().startswith(b"%PDF")


def test_stats_refuse_an_unknown_rule(data: Callable[..., Said]) -> None:
    said = data("stats", "places-lt", "--folds", "kangs")
    assert (said.code, "Did you mean 'kang'?" in said.err) == (2, True)


def test_help_and_list_do_without_torch() -> None:
    script = (
        "import sys; from ltbench.cli import invoke\n"
        "assert invoke(sys.argv[1:]) == 0\n"
        "sys.exit(bool({'torch', 'torchvision', 'timm', 'matplotlib'} & set(sys.modules)))"
    )
    for arguments in (["data", "--help"], ["data", "check", "--help"], ["data", "list"]):
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)
