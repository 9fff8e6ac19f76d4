"""What is found about a list: drawn ones with Places-LT's real counts, and the real ones where they are at hand."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ltbench_datasets.published import list_diff
from ltbench_datasets.published.annotations import git_blob, sha256
from ltbench_datasets.published.benchmark import IMAGENET_LT, PLACES_LT
from ltbench_datasets.published.facts import KnownList, known_counts
from ltbench_datasets.published.inspection import ListReport, inspect_list

from .drawn_lists import SPELLINGS, categories, places_lists, write_lists

REAL_LISTS = os.environ.get("LTBENCH_REAL_LISTS", "")
"""A folder with the published lists, one folder a variant; they are not part of this repository."""

TRAIN = known_counts("places-lt").by_split["train"].tolist()
LINES = {spelling: places_lists(spelling, TRAIN, 20, 100) for spelling in SPELLINGS}
NAMES = categories(365)

Report = Callable[..., ListReport]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """Writes the lines as a list and inspects it."""

    def report(name: str, lines: Sequence[str], folders: Sequence[Path] = ()) -> ListReport:
        folder = write_lists(tmp_path / "checked", "Places_LT", {name: lines})
        return inspect_list(PLACES_LT, name, folder / PLACES_LT.lists[name], folders, NAMES)

    return report


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Drawn lists that pass as the published ones, in the spelling ``easy-dir``; the folder of those."""
    known = []
    for spelling in SPELLINGS:
        for name, lines in LINES[spelling].items():
            content = "".join(f"{line}\n" for line in lines).encode()
            # of large published lists only one of the two hashes is known
            hashes = (sha256(content), "-") if spelling == "data_256" else ("", git_blob(content))
            known.append(KnownList("places-lt", name, spelling, *hashes, len(lines), "", ()))
    monkeypatch.setattr(list_diff, "known_lists", lambda dataset: known)
    return write_lists(tmp_path / "published", "Places_LT", LINES["easy-dir"])


def found(report: ListReport) -> dict[str, list[str]]:
    return {problem.kind: problem.examples for problem in report.problems}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_a_published_variant_is_named(report: Report, published: Path, spelling: str, name: str) -> None:
    seen = report(name, LINES[spelling][name])
    flat = name == "test" and spelling != "easy-dir"
    assert seen.variant in (SPELLINGS[::2] if flat else (spelling,))  # two spellings share the flat test list
    assert (seen.images, seen.problems) == (len(LINES[spelling][name]), [])


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_a_list_with_the_published_counts_has_no_problem(report: Report, name: str) -> None:
    seen = report(name, LINES["data_256"][name])
    assert (seen.variant, seen.problems) == ("", [])


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_label_changed(report: Report, published: Path, spelling: str) -> None:
    lines = list(LINES[spelling]["train"])
    path = lines[221].rpartition(" ")[0]
    assert lines[221].endswith(" 1")
    lines[221] = f"{path} 4"
    assert found(report("train", lines, [published])) == {
        "label against the category": [f"line 222: {path} has label 4, but 19 images of '{NAMES[1]}' have label 1"],
        "images of a class": [
            f"class 1 '{NAMES[1]}': 19 images, published: 20",
            f"class 4 '{NAMES[4]}': 230 images, published: 229",
        ],
        "another label": [f"line 222: {path} has label 4, published: 1"],
    }


def test_one_label_changed_in_a_list_without_categories(report: Report) -> None:
    lines = list(LINES["data_256"]["test"])
    lines[150] = lines[150].replace(" 1", " 300")
    assert found(report("test", lines)) == {
        "label against its neighbours": [
            "line 151: val_256/Places365_val_00000150.jpg has label 300, the lines before and after have 1"
        ],
        "images of a class": [
            f"class 1 '{NAMES[1]}': 99 images, published: 100",
            f"class 300 '{NAMES[300]}': 101 images, published: 100",
        ],
    }


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_line_missing(report: Report, published: Path, spelling: str) -> None:
    lines = list(LINES[spelling]["train"])
    del lines[221]
    expected = {
        "number of images": ["62,499, published: 62,500"],
        "images of a class": [f"class 1 '{NAMES[1]}': 19 images, published: 20"],
    }
    assert found(report("train", lines)) == expected
    line = LINES["easy-dir"]["train"][221]
    assert found(report("train", lines, [published])) == {**expected, "missing": [f"{line} (line 222 there)"]}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_path_twice(report: Report, published: Path, spelling: str) -> None:
    lines = [*LINES[spelling]["train"], LINES[spelling]["train"][221]]
    path = lines[221].rpartition(" ")[0]
    assert found(report("train", lines, [published])) == {
        "number of images": ["62,501, published: 62,500"],
        "listed twice": [f"line 62501: {path} stands in line 222, too"],
        "images of a class": [f"class 1 '{NAMES[1]}': 21 images, published: 20"],
    }


def test_another_image_in_place_of_one(report: Report, published: Path) -> None:
    lines = list(LINES["data_256"]["test"])
    lines[150] = "val_256/Places365_val_99999999.jpg 1"
    assert found(report("test", lines)) == {}
    assert found(report("test", lines, [published])) == {
        "missing": [f"val/{NAMES[1]}/Places365_val_00000150.jpg 1 (line 151 there)"],
        "not in the published list": ["line 151: val_256/Places365_val_99999999.jpg"],
    }


def test_lines_that_are_no_entries(report: Report) -> None:
    lines = list(LINES["easy-dir"]["val"])
    lines[3] = "train/a_room000/00000222.jpg"
    assert found(report("val", lines))["malformed line"] == [
        "line 4: expected 'path label' with a label from 0 up, found 'train/a_room000/00000222.jpg'."
    ]


def test_only_the_first_few_are_named_and_all_are_counted(report: Report) -> None:
    (counts,) = (problem for problem in report("test", LINES["easy-dir"]["val"]).problems if "class" in problem.kind)
    assert (counts.count, len(counts.examples)) == (365, 5)
    assert counts.examples[0] == f"class 0 '{NAMES[0]}': 20 images, published: 100"


def test_a_class_that_should_not_be_there(report: Report) -> None:
    seen = report("val", [*LINES["easy-dir"]["val"], "train/zoo/00000001.jpg 365"])
    assert found(seen)["images of a class"] == ["class 365: 1 images, published: 0"]


@pytest.mark.skipif(not REAL_LISTS, reason="LTBENCH_REAL_LISTS names no folder with the published lists")
class TestRealLists:
    @pytest.mark.parametrize(
        ("file", "variant"),
        [
            *((f"easy_dir/Places_LT_{name}", "easy-dir") for name in ("train", "val", "test")),
            *((f"data_256/Places_LT_{name}", "data_256") for name in ("train", "val")),
            *((f"seed/Places_LT_{name}", "class-balanced-experts") for name in ("train", "val", "test")),
            ("seed/ImageNet_LT_val", "train/nXXXX/"),
            ("seed/ImageNet_LT_test", "val/nXXXX/"),
        ],
    )
    def test_every_variant_is_recognised(self, file: str, variant: str) -> None:
        path = Path(REAL_LISTS) / f"{file}.txt.gz"
        benchmark = PLACES_LT if "Places" in file else IMAGENET_LT
        seen = inspect_list(benchmark, file.rpartition("_")[2], path)
        assert seen.variant.startswith(variant)

    @pytest.mark.parametrize("folder", ["seed", "easy_dir", "data_256"])
    def test_a_changed_label_is_found_against_any_variant(self, tmp_path: Path, report: Report, folder: str) -> None:
        from ltbench_datasets.published.annotations import read_content

        lines = read_content(Path(REAL_LISTS) / "data_256" / "Places_LT_train.txt.gz").decode().splitlines()
        lines[1000] = lines[1000].replace(" 7", " 9")
        shutil.copy(Path(REAL_LISTS) / folder / "Places_LT_train.txt.gz", tmp_path)
        seen = report("train", lines, [tmp_path])
        assert found(seen)["another label"] == [
            "line 1001: data_256/a/amusement_park/00000305.jpg has label 9, published: 7"
        ]
