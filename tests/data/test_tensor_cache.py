from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from ltbench.data.tensor_cache import Kept, cached
from ltbench.errors import DataError


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Kept:
        self.calls += 1
        return {"a": torch.arange(100, dtype=torch.uint8).view(10, 10), "b": torch.tensor([7])}, {"classes": '["ä"]'}


def same(one: Kept, other: Kept) -> bool:
    return one[1] == other[1] and one[0].keys() == other[0].keys() and all(one[0][k].equal(other[0][k]) for k in one[0])


def test_it_is_made_once(cache: Path) -> None:
    make = Maker()
    first = cached("things", make)
    assert same(first, Maker()())
    assert same(cached("things", make), first)
    assert make.calls == 1
    assert same(cached("others", make), first)
    assert make.calls == 2


def test_two_at_once_make_it_once(cache: Path) -> None:
    make = Maker()
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: cached("things", make), range(2))
    assert same(one, other)
    assert make.calls == 1


@pytest.mark.parametrize("damage", ["cut short", "one bit", "texts", "emptied"])
def test_a_damaged_file_is_made_again_with_a_word_of_warning(
    cache: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make = Maker()
    first = cached("things", make)
    path = cache / "datasets" / "things.safetensors"
    content = bytearray(path.read_bytes())
    changed = content.copy()
    changed[-50] ^= 1
    texts = content.replace("ä".encode(), "ö".encode())
    path.write_bytes({"cut short": content[:-50], "one bit": changed, "texts": texts, "emptied": b""}[damage])
    assert same(cached("things", make), first)
    assert make.calls == 2
    warning = capsys.readouterr().err
    assert warning.startswith(f"ltbench: {path} is damaged: ")
    assert warning.endswith("; set aside as things.safetensors.damaged, it is made again.\n")
    assert warning.count("\n") == 1
    assert same(cached("things", make), first)
    assert make.calls == 2
    assert capsys.readouterr().err == ""


def test_a_failed_make_leaves_nothing(cache: Path) -> None:
    def fail() -> Kept:
        raise DataError("no archive")

    with pytest.raises(DataError, match="no archive"):
        cached("things", fail)
    make = Maker()
    cached("things", make)
    assert make.calls == 1


def test_a_place_that_cannot_be_used_is_named(cache: Path) -> None:
    cache.mkdir(exist_ok=True)
    place = cache / "datasets"
    place.touch()
    with pytest.raises(DataError, match=f"{place}.* cannot be written"):
        cached("things", Maker())
    place.unlink()
    (place / "things.safetensors").mkdir(parents=True)  # for root, too, a file that cannot be read
    with pytest.raises(DataError, match=r"things.safetensors cannot be read: .* Delete it"):
        cached("things", Maker())
