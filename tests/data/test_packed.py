"""Packed images: what was packed comes back; an interrupted packing goes on; damage is found."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import picture, tree

from ltbench.data.augmentation.cuts import CentreCut
from ltbench.data.images import packed
from ltbench.data.images.contents import read_contents
from ltbench.data.images.image_files import ImageFileSplit, read_image
from ltbench.data.images.image_list import ImageList
from ltbench.data.images.packed import PackedSplit, PackSettings, pack, pack_name, verify
from ltbench.data.images.packed_file import ENTRY
from ltbench.errors import DataError

from .spoiling import SPOIL

SETTINGS = PackSettings(short_side=24)


@pytest.fixture
def images(tmp_path: Path) -> ImageList:
    files = tree(tmp_path / "tree", {"a": 4, "b": 3, "c": 2}, size=(50, 36))
    names = [str(file.relative_to(tmp_path)) for file in files]
    return ImageList(names, [str(file) for file in files], np.array([0] * 4 + [1] * 3 + [2] * 2))


def target(tmp_path: Path, images: ImageList) -> Path:
    return tmp_path / "packed" / pack_name(images, "train", SETTINGS)


def test_packed_images_are_the_originals_with_a_shorter_side(images: ImageList, tmp_path: Path) -> None:
    ticks: list[int] = []
    path = pack(images, target(tmp_path, images), SETTINGS, lambda: ticks.append(1))
    assert len(ticks) == len(images)
    split = PackedSplit(images, path, SETTINGS, 16)
    assert split.labels.tolist() == images.labels.tolist()
    for index in range(len(images)):
        original = read_image(images.files[index])[None].float()
        expected = torch.nn.functional.interpolate(original, (24, 33), mode="bilinear", antialias=True)[0]
        assert split.image(index).shape == (3, 24, 33)
        assert float((split.image(index).float() - expected).abs().max()) <= 1
    originals = ImageFileSplit(images, 16).cut(range(9), CentreCut(16)).images.float()
    assert float((split.cut(range(9), CentreCut(16)).images.float() - originals).abs().mean()) < 4


def test_small_images_are_kept_as_they_are(images: ImageList, tmp_path: Path) -> None:
    settings = PackSettings(short_side=64)
    split = PackedSplit(images, pack(images, tmp_path / "x.pack", settings), settings, 16)
    assert torch.equal(split.image(0), read_image(images.files[0]))


def test_a_flipped_byte_is_detected_when_its_image_is_read(images: ImageList, tmp_path: Path) -> None:
    path = pack(images, target(tmp_path, images), SETTINGS)
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    split = PackedSplit(images, path, SETTINGS, 16)
    split.image(0)
    with pytest.raises(DataError, match=r"image 8 is not what was written .*Delete"):
        split.image(8)
    with pytest.raises(DataError, match="image 8"):
        verify(path)


@pytest.mark.parametrize("position", [2, 20, 4096 + 3])
def test_a_damaged_head_is_detected(position: int, images: ImageList, tmp_path: Path) -> None:
    path = pack(images, target(tmp_path, images), SETTINGS)
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        PackedSplit(images, path, SETTINGS, 16)


def test_a_file_cut_short_is_detected(images: ImageList, tmp_path: Path) -> None:
    path = pack(images, target(tmp_path, images), SETTINGS)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="image 8"):
        PackedSplit(images, path, SETTINGS, 16).image(8)


def test_other_images_or_settings_are_another_file(images: ImageList, tmp_path: Path) -> None:
    fewer = images.only(np.arange(8))
    names = {
        pack_name(images, "train", SETTINGS),
        pack_name(fewer, "train", SETTINGS),
        pack_name(images, "train", PackSettings(24, upright=True)),
    }
    assert len(names) == 3
    path = pack(images, tmp_path / "x.pack", SETTINGS)
    with pytest.raises(DataError, match="other images"):
        PackedSplit(fewer, path, SETTINGS, 16)


def test_an_interrupted_packing_goes_on_where_it_stopped(
    images: ImageList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_CHUNK", 2)
    path, read = target(tmp_path, images), []

    def failing(file: str, upright: bool) -> torch.Tensor:
        read.append(file)
        if file == images.files[5]:
            raise KeyboardInterrupt
        return read_image(file, upright)

    monkeypatch.setattr(packed, "read_image", failing)
    with pytest.raises(KeyboardInterrupt):
        pack(images, path, SETTINGS)
    assert not path.exists()
    read.clear()
    monkeypatch.setattr(packed, "read_image", lambda file, upright: read.append(file) or read_image(file, upright))
    ticks: list[int] = []
    pack(images, path, SETTINGS, lambda: ticks.append(1))
    assert sorted(read) == sorted(images.files[4:])
    assert len(ticks) == len(images)
    whole = pack(images, tmp_path / "whole.pack", SETTINGS)
    assert path.read_bytes() == whole.read_bytes()


def test_bad_images_are_all_named_and_the_others_kept(images: ImageList, tmp_path: Path) -> None:
    mended = Path(images.files[3]).read_bytes()
    Path(images.files[3]).write_bytes(b"")
    Path(images.files[6]).unlink()
    path = target(tmp_path, images)
    with pytest.raises(DataError, match=r"2 of 9 images cannot be read: .*/3\.jpg: the file is empty; .*no such file"):
        pack(images, path, SETTINGS)
    assert not path.exists()
    Path(images.files[3]).write_bytes(mended)
    Path(images.files[6]).write_bytes(mended)
    split = PackedSplit(images, pack(images, path, SETTINGS), SETTINGS, 16)
    assert torch.equal(split.image(3), split.image(6))


def test_workers_open_the_file_themselves(images: ImageList, tmp_path: Path) -> None:
    split = PackedSplit(images, pack(images, target(tmp_path, images), SETTINGS), SETTINGS, 16)
    loader = torch.utils.data.DataLoader(
        split, batch_sampler=[[0, 1], [8]], collate_fn=lambda batch: batch, num_workers=1
    )
    for batch in loader:
        assert torch.equal(batch.images, split.__getitems__(batch.indices.tolist()).images)


def change(images: ImageList, index: int) -> None:
    """Another picture under the old name."""
    picture(50, 36, seed=99).save(images.files[index])


def test_a_copy_of_other_files_under_the_same_names_is_refused(images: ImageList, tmp_path: Path) -> None:
    path = pack(images, target(tmp_path, images), SETTINGS)
    change(images, 4)
    with pytest.raises(
        DataError, match=r"was made of other images than are there now \(.*b/0\.jpg\)\. Delete it, or let"
    ):
        PackedSplit(images, path, SETTINGS, 16, read_contents(images.files))
    Path(images.files[4]).unlink()  # what is not there cannot be compared
    PackedSplit(images, path, SETTINGS, 16, read_contents(images.files))


def test_a_copy_of_other_files_is_set_aside_and_packed_again(
    images: ImageList, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pack(images, target(tmp_path, images), SETTINGS)
    change(images, 4)
    pack(images, path, SETTINGS)
    split = PackedSplit(images, path, SETTINGS, 16, read_contents(images.files))
    assert float((split.image(4).float() - shrunk(images.files[4])).abs().max()) <= 1
    assert f"set aside as {path.name}.damaged, packing again" in capsys.readouterr().err
    assert path.with_name(f"{path.name}.damaged").is_file()


def shrunk(file: str) -> torch.Tensor:
    image = read_image(file)[None].float()
    return torch.nn.functional.interpolate(image, (24, 33), mode="bilinear", antialias=True)[0]


def test_an_interrupted_packing_takes_changed_images_anew(
    images: ImageList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = target(tmp_path, images)
    last = Path(images.files[8]).read_bytes()
    Path(images.files[8]).write_bytes(b"")
    with pytest.raises(DataError, match="1 of 9 images cannot be read"):
        pack(images, path, SETTINGS)
    Path(images.files[8]).write_bytes(last)
    change(images, 1)
    read: list[str] = []
    monkeypatch.setattr(packed, "read_image", lambda file, upright: read.append(file) or read_image(file, upright))
    split = PackedSplit(images, pack(images, path, SETTINGS), SETTINGS, 16, read_contents(images.files))
    assert sorted(read) == sorted([images.files[1], images.files[8]])
    assert float((split.image(1).float() - shrunk(images.files[1])).abs().max()) <= 1


def test_an_image_that_changes_while_it_is_packed_is_not_packed(
    images: ImageList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(file: str, upright: bool) -> torch.Tensor:
        if file == images.files[2]:
            change(images, 2)
        return read_image(file, upright)

    monkeypatch.setattr(packed, "read_image", changing)
    with pytest.raises(DataError, match=r"1 of 9 images cannot be read: .*a/2\.jpg: changed while it was packed"):
        pack(images, target(tmp_path, images), SETTINGS)


@pytest.mark.parametrize("kind", SPOIL)
def test_a_spoilt_copy_is_named_by_a_run_and_packed_again(
    kind: str, images: ImageList, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pack(images, target(tmp_path, images), SETTINGS)
    whole = path.read_bytes()
    table = 4096 + 9 * ENTRY.itemsize
    positions = [*range(0, 90, 29), *range(4080, table, 101), *range(table, len(whole), 7001), len(whole) - 1]
    for position in positions if kind == "flip" else [0]:
        SPOIL[kind](path, position)
        with pytest.raises(DataError, match=f"{path.name} (is damaged|cannot be read)") as caught:
            [PackedSplit(images, path, SETTINGS, 16).image(index) for index in range(9)]
        assert len(str(caught.value).splitlines()) == 1
        capsys.readouterr()
        assert pack(images, path, SETTINGS).read_bytes() == whole
        said = capsys.readouterr().err
        assert (f"{path} is damaged" in said and "set aside as" in said) == (kind != "delete")


@pytest.mark.parametrize("kind", SPOIL)
def test_a_spoilt_partial_copy_never_becomes_a_whole_one(kind: str, images: ImageList, tmp_path: Path) -> None:
    path, last = target(tmp_path, images), Path(images.files[8]).read_bytes()
    Path(images.files[8]).write_bytes(b"")
    with pytest.raises(DataError, match="1 of 9 images cannot be read"):
        pack(images, path, SETTINGS)
    Path(images.files[8]).write_bytes(last)
    whole = pack(images, tmp_path / "whole.pack", SETTINGS)
    reference = PackedSplit(images, whole, SETTINGS, 16)
    partial = path.with_name(f"{path.name}.partial")
    before = partial.read_bytes()
    for position in [*range(0, 4096, 1500), *range(4096, len(before), 1999)] if kind == "flip" else [0]:
        partial.write_bytes(before)
        SPOIL[kind](partial, position)
        try:
            pack(images, path, SETTINGS)
        except DataError as error:
            assert "does not read back" in str(error)  # noqa: PT017 (not every byte matters: one may be packed again)
            pack(images, path, SETTINGS)
        split = PackedSplit(images, path, SETTINGS, 16, read_contents(images.files))
        assert all(torch.equal(split.image(index), reference.image(index)) for index in range(9))
        path.unlink()
