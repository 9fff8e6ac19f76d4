import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fontTools.ttLib import TTFont
from ltbench_datasets import glyphs
from ltbench_datasets.glyph_drawing import FACES, TYPEFACES, GlyphRenderer, font_path
from ltbench_datasets.glyph_letters import FAMILIES, LETTERS
from ltbench_datasets.glyphs import GlyphsLT, GlyphsOptions
from ltbench_datasets.glyphs_figure import contact_sheet
from PIL import Image
from pydantic import ValidationError

from ltbench.data.folds import fold_rule

TINY: dict[str, Any] = {"num_classes": 4, "max_count": 12, "min_count": 3, "val_per_class": 2, "test_per_class": 5}


def tiny(**options: Any) -> GlyphsLT:
    return GlyphsLT(GlyphsOptions(**{**TINY, **options}))


def test_the_default_counts_are_the_protocols() -> None:
    counts = GlyphsOptions().counts()
    assert len(counts) == 100
    assert int(counts.sum()) == 10_899
    assert (counts[0], counts[-1]) == (500, 5)
    assert [round(500 * (5 / 500) ** (c / 99)) for c in range(100)] == counts.tolist()
    assert [len(ids) for ids in fold_rule("paper").members(counts).values()] == [35, 35, 30]


def test_the_default_families_span_the_folds() -> None:
    dataset = GlyphsLT()
    folds = fold_rule("paper").assign(dataset.options.counts())
    spans = [{folds[dataset.class_names.index(letter)] for letter in family} for family in FAMILIES]
    assert sorted(dataset.class_names) == sorted("".join(FAMILIES))
    assert sum(len(span) == 3 for span in spans) >= 9
    assert sum(len(span) == 1 for span in spans) <= 3


@pytest.mark.parametrize("face", FACES)
def test_every_face_has_every_letter(face: str) -> None:
    assert {ord(letter) for letter in LETTERS} <= set(TTFont(font_path(face), lazy=True).getBestCmap())


def test_no_two_letters_look_the_same_in_any_face() -> None:
    assert len(set(LETTERS)) == len(LETTERS)
    renderer, every = GlyphRenderer(LETTERS, size=28, difficulty=0), np.arange(len(LETTERS))
    for face in range(len(FACES)):
        ink = renderer.draw(every, np.full(len(LETTERS), face), np.random.default_rng(0)).flatten(1).float()
        ink = torch.where(ink[:, :1] > 127, 255 - ink, ink)  # dark background throughout
        assert float(torch.cdist(ink, ink).fill_diagonal_(torch.inf).min()) > 30


def test_splits(cache: Path) -> None:
    dataset = tiny()
    expected = {"train": dataset.options.counts().tolist(), "val": [2] * 4, "test": [5] * 4}
    assert expected["train"] == [12, 8, 5, 3]
    for name, counts in expected.items():
        split = dataset.split(name)
        assert torch.bincount(split.labels).tolist() == counts
        batch = split.__getitems__(list(range(len(split))))
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape == (sum(counts), *dataset.image_shape) == (sum(counts), 1, 28, 28)
        assert batch.images.flatten(1).amin(1).eq(0).all()  # stretched over the whole range
        assert batch.images.flatten(1).amax(1).eq(255).all()
        assert len(batch.images.unique(dim=0)) == len(split)
    assert dataset.train_counts.tolist() == expected["train"]


def test_the_same_options_draw_the_same_bytes_in_another_process(cache: Path, tmp_path: Path) -> None:
    code = (
        "import json, sys; from ltbench_datasets.glyphs import GlyphsLT, GlyphsOptions;"
        "print(GlyphsLT(GlyphsOptions(**json.loads(sys.argv[1]))).fingerprint)"
    )
    root = str(Path(glyphs.__file__).parents[2])
    threads = str(torch.get_num_threads() % 2 + 1)
    elsewhere = {**os.environ, "PYTHONPATH": root, "LTBENCH_CACHE": str(tmp_path / "other"), "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-c", code, json.dumps(TINY)]
    other = subprocess.run(command, env=elsewhere, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == tiny().fingerprint


@pytest.mark.parametrize("change", [{"seed": 1}, {"difficulty": 0.9}, {"size": 20}, {"channels": 3}, {"max_count": 13}])
def test_every_option_shows_in_the_fingerprint(cache: Path, change: dict[str, Any]) -> None:
    assert tiny(**change).fingerprint != tiny().fingerprint


def test_a_split_does_not_depend_on_the_size_of_the_others(cache: Path) -> None:
    assert torch.equal(tiny(max_count=20).split("test").images, tiny().split("test").images)


def test_three_channels_hold_the_same_grey(cache: Path) -> None:
    grey, colour = tiny(), tiny(channels=3)
    assert colour.image_shape == (3, 28, 28)
    assert torch.equal(colour.split("val")[3].images, grey.split("val")[3].images.expand(1, 3, 28, 28))


def test_other_image_sizes_show_the_same_picture(cache: Path) -> None:
    large = tiny(size=56, difficulty=0.3).split("val").images.float()
    small = tiny(difficulty=0.3).split("val").images.float()
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    for one, other in zip(small, shrunk, strict=True):
        assert float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) > 0.8


def test_without_difficulty_a_letter_varies_by_face_and_polarity_alone(cache: Path) -> None:
    images = tiny(difficulty=0, test_per_class=80).split("test").images.view(4, 80, 28, 28)
    for of_class in images:
        assert len(of_class.unique(dim=0)) <= 2 * len(FACES)


def test_given_counts_are_drawn_in_their_order(cache: Path) -> None:
    dataset = GlyphsLT(GlyphsOptions(train_counts=(3, 9, 1), val_per_class=1, test_per_class=1))
    assert dataset.num_classes == 3
    assert dataset.train_counts.tolist() == [3, 9, 1]


def test_profiles_of_real_datasets_can_be_drawn() -> None:
    places, imagenet = (GlyphsLT(GlyphsOptions(train_counts=(5,) * classes)) for classes in (365, 1000))
    assert all(len(name) == 1 for name in places.class_names)
    assert len(set(places.class_names)) == 365
    assert len(set(imagenet.class_names)) == 1000
    assert {name.split()[1] for name in imagenet.class_names} == set(TYPEFACES)


def test_beyond_the_letters_a_class_keeps_to_one_typeface(cache: Path) -> None:
    classes = len(LETTERS) + 4
    options = GlyphsOptions(train_counts=(1,) * classes, val_per_class=1, test_per_class=6, size=14, difficulty=0)
    dataset = GlyphsLT(options)
    letters, faces = zip(*(name.split() for name in dataset.class_names), strict=True)
    renderer = GlyphRenderer(sorted(set(letters)), size=14, difficulty=0)
    for label in (0, 1, 2, classes - 1):
        chosen = np.array([FACES.index(face) for face in TYPEFACES[faces[label]]])
        which = np.full(len(chosen), sorted(set(letters)).index(letters[label]))
        own = renderer.draw(which, chosen, np.random.default_rng(0)).int()
        for image in dataset.split("test").images[dataset.split("test").labels == label].int():
            gap = torch.minimum((own - image).abs().amax((1, 2, 3)), (own - (255 - image)).abs().amax((1, 2, 3)))
            assert int(gap.min()) <= 1


def test_a_second_opening_reads_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny()
    fingerprint = first.fingerprint
    monkeypatch.setattr(glyphs, "GlyphRenderer", None)
    again = tiny()
    assert again.fingerprint == fingerprint
    assert torch.equal(again.split("train").images, first.split("train").images)


def test_two_at_once_draw_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    class Counting(GlyphRenderer):
        def __init__(self, *args: Any) -> None:
            drawn.append(args)
            super().__init__(*args)

    monkeypatch.setattr(glyphs, "GlyphRenderer", Counting)
    with ThreadPoolExecutor(2) as pool:
        fingerprints = set(pool.map(lambda _: tiny().fingerprint, range(2)))
    assert len(fingerprints) == len(drawn) == 1


@pytest.mark.parametrize("damage", ["cut short", "one bit", "emptied"])
def test_a_damaged_file_is_drawn_again_with_a_word_of_warning(
    cache: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = tiny().fingerprint
    (path,) = (cache / "datasets").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[-100] ^= 1
    path.write_bytes({"cut short": content[:-50], "one bit": content, "emptied": b""}[damage])
    assert capsys.readouterr().err == ""
    assert tiny().fingerprint == fingerprint
    warning = capsys.readouterr().err
    assert str(path) in warning
    assert "damaged" in warning
    assert warning.count("\n") == 1
    assert tiny().fingerprint == fingerprint
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes"),
        ({"num_classes": 4 * len(LETTERS) + 1}, "num_classes"),
        ({"min_count": 9, "max_count": 5}, "min_count 9 is above max_count 5"),
        ({"train_counts": [4, 0, 2]}, "at least 1 image"),
        ({"train_counts": [4, 2], "num_classes": 3}, "train_counts has 2 entries"),
        ({"channels": 2}, "channels"),
        ({"difficulty": -1}, "difficulty"),
        ({"colour": True}, "colour"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GlyphsOptions.model_validate(options)


def test_the_figure(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    contact_sheet(GlyphsLT(GlyphsOptions(num_classes=12, max_count=200, val_per_class=1, test_per_class=1)), path)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        shades = np.asarray(sheet)
    assert shades.shape[0] > 150
    assert len(np.unique(shades)) > 100
    with pytest.raises(ValueError, match="more classes"):
        contact_sheet(tiny(), path)
