"""Image files: what is read is what Pillow shows; cuts are torchvision's; what cannot be read is named."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import ROTATED, bad_files, good_files, huge_jpeg, huge_png, no_files, picture
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as reference

from ltbench.data.augmentation.cuts import CentreCut, Cut, RandomCut
from ltbench.data.images import image_files
from ltbench.data.images.image_bytes import MAX_PIXELS, BadImage, read_bytes
from ltbench.data.images.image_files import ImageFileSplit, read_image
from ltbench.data.images.image_list import ImageList
from ltbench.errors import DataError


def shown(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize("kind", ["rgb", "grey", "cmyk", "rotated", "png", "palette", "bmp"])
def test_every_kind_is_read_as_pillow_shows_it(kind: str, tmp_path: Path) -> None:
    path = good_files(tmp_path)[kind]
    image = read_image(str(path))
    assert image.dtype == torch.uint8
    assert image.shape == (3, 37, 50)
    # Decoders of JPEG may round differently.
    assert float((image.float() - shown(path).float()).abs().max()) <= 4


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    image = read_image(str(good_files(tmp_path)["deep"]))
    expected = torch.from_numpy(np.array(picture().convert("L")))
    assert torch.equal(image, expected.expand(3, -1, -1))


def test_the_orientation_is_ignored_unless_asked_for(tmp_path: Path) -> None:
    path = good_files(tmp_path)["rotated"]
    with Image.open(path) as image:
        assert image.getexif()[0x0112] == ROTATED
    assert torch.equal(read_image(str(path)), read_image(str(good_files(tmp_path)["rgb"])))
    assert torch.equal(read_image(str(path), upright=True), read_image(str(path)).rot90(-1, (1, 2)))


@pytest.mark.parametrize("wrong", ["truncated", "empty", "not an image", "no such file"])
def test_what_is_wrong_with_a_bad_file_is_said(wrong: str, tmp_path: Path) -> None:
    path = bad_files(tmp_path)[wrong]
    with pytest.raises(BadImage, match=wrong):
        read_image(str(path))
    split = ImageFileSplit(ImageList(["x"], [str(path)], np.zeros(1, np.int64)), 8)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: .*{wrong}.*--on-bad-image skip"):
        split[0]


@pytest.mark.parametrize("wrong", ["a named pipe", "a device", "a socket", "Too many levels of symbolic links"])
def test_what_is_no_file_is_neither_opened_nor_waited_for(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened, original = no_files(tmp_path / "x")[wrong], [], os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **also: opened.append(path) or original(path, *more, **also))
    with pytest.raises(BadImage, match=wrong):
        read_image(str(path))
    assert str(path) not in opened


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="not a regular file but a folder"):
        read_image(str(tmp_path))


def test_a_pipe_that_comes_between_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, pipe = tmp_path / "x.png", no_files(tmp_path / "x")["a named pipe"]
    picture().save(file)
    status, original = file.stat(), os.stat
    monkeypatch.setattr(os, "stat", lambda path, **more: status if path == str(pipe) else original(path, **more))
    with pytest.raises(BadImage, match="a named pipe"):
        read_bytes(str(pipe))


@pytest.mark.parametrize("path", ["a\0b.jpg", "x" * 300 + ".jpg"])
def test_a_path_that_cannot_be_is_a_bad_image(path: str) -> None:
    with pytest.raises(BadImage):
        read_image(path)


def test_a_file_too_large_to_be_a_picture_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(BadImage, match=r"a file of 1,000,000,000,000 bytes: more than the 800,000,000 that are read"):
        read_image(str(tmp_path / "x.png"))


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("make", [huge_png, huge_jpeg])
def test_a_picture_beyond_the_limit_is_refused_by_its_header(
    make: Callable[..., Path], upright: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "x.jpg")
    monkeypatch.setattr(image_files, "decode_jpeg", None)
    with pytest.raises(BadImage, match=r"13,000 x 13,000 pixels: more than the 100 megapixels that are read"):
        read_image(str(path), upright)


def test_the_limit_is_said_for_what_pillow_itself_refuses(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="more than the 100 megapixels that are read"):
        read_image(str(huge_png(tmp_path / "x.png", 60_000, 60_000)))


def test_a_picture_within_the_limit_is_read_up_to_its_end(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5)
    with pytest.raises(BadImage, match="truncated|cannot be decoded"):
        read_image(str(huge_png(tmp_path / "x.png", side, side)))


@pytest.mark.parametrize("kind", ["rgb", "png", "palette", "bmp", "deep"])
def test_damaged_bytes_are_read_or_a_bad_image(kind: str, tmp_path: Path) -> None:
    path = good_files(tmp_path)[kind]
    whole, random, said = path.read_bytes(), np.random.default_rng(0), []
    for _ in range(30):
        spoilt = bytearray(whole)
        for position in random.integers(0, min(len(whole), 400), 3):
            spoilt[position] = random.integers(256)
        path.write_bytes(spoilt)
        try:
            assert read_image(str(path)).shape[0] == 3
        except BadImage as error:
            said.append(str(error))
    assert all(text and len(text.splitlines()) == 1 for text in said)


def one(path: Path, cut: Cut) -> Tensor:
    """float32[3, H, W]: the cut of one file."""
    split = ImageFileSplit(ImageList(["x"], [str(path)], np.array([5])), 8)
    batch = split.cut([0], cut)
    assert batch.labels.tolist() == [5]
    assert batch.indices.tolist() == [0]
    return batch.images[0].float()


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (300, 300), (641, 427)])
def test_the_centre_is_that_of_resize_and_centre_crop(width: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    picture(width, height).save(path)
    resized = reference.resize(shown(path), 256, antialias=True)
    expected = reference.center_crop(resized, [224, 224]).float()
    found = one(path, CentreCut(224))
    assert found.shape == expected.shape
    # The box is rounded to whole pixels of the original, which moves smooth colours by little.
    assert float((found - expected).abs().mean()) < 1.5


def test_an_image_no_larger_than_the_cut_is_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    picture(20, 16).save(path)
    expected = reference.resize(shown(path)[:, :, 2:18], [32, 32], antialias=True).float()
    assert float((one(path, CentreCut(32)) - expected).abs().max()) <= 1


def test_a_random_cut_is_the_box_resized(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    picture(90, 70).save(path)
    uniform = torch.rand(4, 1, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    cut = RandomCut(24, (0.08, 1.0), (3 / 4, 4 / 3), uniform)
    top, left, height, width = map(int, cut.boxes(torch.tensor([[70, 90]]))[0])
    expected = reference.resized_crop(shown(path), top, left, height, width, [24, 24], antialias=True).float()
    assert float((one(path, cut) - expected).abs().max()) <= 1


def test_a_batch_holds_images_of_different_sizes(tmp_path: Path) -> None:
    files = []
    for number, size in enumerate([(40, 30), (30, 40), (64, 64)]):
        files.append(str(tmp_path / f"{number}.png"))
        picture(*size, seed=number).save(files[-1])
    split = ImageFileSplit(ImageList(files, files, np.array([2, 0, 1])), 16)
    batch = split.__getitems__([2, 0])
    assert batch.images.shape == (2, 3, 16, 16)
    assert batch.labels.tolist() == [1, 2]
    assert torch.equal(batch.images[1], split[0].images[0])
