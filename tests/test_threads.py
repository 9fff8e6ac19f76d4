"""Work in parts on several threads. The tests' own limit of one thread is lifted here."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import picture

from ltbench.common.threads import map_parts, one_torch_thread
from ltbench.data.images.image_files import ImageFileSplit
from ltbench.data.images.image_list import ImageList
from ltbench.errors import DataError


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_parts_are_worked_on_by_single_threads_and_keep_their_order() -> None:
    with one_torch_thread():
        found = map_parts(lambda part: (part, torch.get_num_threads()), range(7))
    assert found == [(part, 1) for part in range(7)]
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_threads_compute_in_the_callers_mode(mode: type) -> None:
    weight = torch.ones(3, requires_grad=True)
    with mode():
        here = weight * 2
        found = map_parts(lambda part: weight * part, range(5))
    assert [(one.requires_grad, one.is_inference()) for one in found] == [(here.requires_grad, here.is_inference())] * 5


def test_an_error_in_a_part_is_the_callers() -> None:
    def refuse(part: int) -> None:
        if part == 4:
            raise DataError("part 4")

    with pytest.raises(DataError, match="part 4"):
        map_parts(refuse, range(6))
    assert map_parts(lambda part: part, range(6)) == list(range(6))


@pytest.fixture(params=[1, 100_000], ids=["as large images", "as small ones"])
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ImageFileSplit:
    """21 images of different sizes, read by several threads or by one."""
    monkeypatch.setattr("ltbench.data.images.image_files._LARGE", request.param)
    files = [str(tmp_path / f"{number}.png") for number in range(21)]
    for number, file in enumerate(files):
        picture(30 + number, 50 - number, seed=number).save(file)
    return ImageFileSplit(ImageList(files, files, np.arange(21)), 16)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_a_batch_is_read_as_its_images_one_by_one(split: ImageFileSplit, mode: type) -> None:
    indices = list(reversed(range(21)))
    with mode():
        together = split.__getitems__(indices)
        torch.set_num_threads(1)
        one_by_one = torch.cat([split[index].images for index in indices])
    assert torch.equal(together.images, one_by_one)
    assert together.labels.tolist() == indices


def test_a_bad_image_among_many_is_named(split: ImageFileSplit, tmp_path: Path) -> None:
    (tmp_path / "13.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"13\.png: the file is empty"):
        split.__getitems__(range(21))
