"""Every image is decoded once; what was found is remembered by what the files hold."""

from pathlib import Path

import pytest
from pictures import bad_files, tree

from ltbench.data.base import unwatched
from ltbench.data.images import scan
from ltbench.data.images.contents import read_contents

from .spoiling import SPOIL


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []
    original = scan.read_image
    monkeypatch.setattr(scan, "read_image", lambda path: read.append(path) or original(path))
    return read


@pytest.fixture
def files(tmp_path: Path, cache: Path) -> list[str]:
    tree(tmp_path / "tree", {"a": 3})
    bad_files(tmp_path / "tree" / "b")
    return [
        *sorted(str(path) for path in (tmp_path / "tree").rglob("*.jpg")),
        str(tmp_path / "tree" / "b" / "missing.jpg"),
    ]


def scanned(files: list[str]) -> dict[str, str]:
    found = scan.remembered_scan(files, read_contents(files), "checking", unwatched)
    return {Path(files[position]).name: text for position, text in found.items()}


BAD = {
    "empty.jpg": "the file is empty",
    "text.jpg": "not an image",
    "truncated.jpg": "truncated",
    "missing.jpg": "no such file",
}


def test_every_file_is_decoded_once(files: list[str], decoded: list[str]) -> None:
    assert scanned(files) == BAD
    assert sorted(decoded) == sorted(files[:-1])
    decoded.clear()
    assert scanned(files) == BAD
    assert decoded == []


def test_another_content_is_decoded(files: list[str], decoded: list[str]) -> None:
    scanned(files)
    Path(files[0]).write_bytes(Path(files[0]).read_bytes()[:100])
    assert scanned(files) == BAD | {"0.jpg": "truncated"}


def test_a_moved_tree_is_not_decoded_again(files: list[str], decoded: list[str], tmp_path: Path) -> None:
    scanned(files)
    decoded.clear()
    (tmp_path / "tree").rename(tmp_path / "moved")
    assert scanned([file.replace("/tree/", "/moved/") for file in files]) == BAD
    assert decoded == []


@pytest.mark.parametrize("kind", SPOIL)
def test_a_spoilt_memory_of_a_scan_is_made_again_with_a_line(
    kind: str, files: list[str], decoded: list[str], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scanned(files)
    (memo,) = (cache / "scans").glob("*.json")
    for position in range(memo.stat().st_size) if kind == "flip" else [0]:
        decoded.clear()
        SPOIL[kind](memo, position)
        assert scanned(files) == BAD
        said = capsys.readouterr().err
        assert (memo.name in said) == (kind != "delete") == (said.count("\n") == 1)
        assert sorted(decoded) == sorted(files[:-1])
