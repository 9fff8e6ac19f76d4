"""Files are whole or not there, and a place that cannot be written is one line."""

import errno
import json
import os
from pathlib import Path

import pytest

from ltbench.common import files
from ltbench.common.files import copy_folder, write_json, write_text, written_beside
from ltbench.errors import DataError


def test_json_is_written_sorted_and_replaces(tmp_path: Path) -> None:
    for value in (1, 2):
        write_json(tmp_path / "new" / "file.json", {"b": value, "a": [value]})
    assert json.loads((tmp_path / "new" / "file.json").read_text()) == {"a": [2], "b": 2}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.json"]
    with pytest.raises(DataError, match="cannot be written"):
        write_json(tmp_path / "new" / "file.json" / "below.json", {})


@pytest.mark.parametrize(
    ("failure", "caught", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), DataError, r"page.md cannot be written: No space left on"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, failure: BaseException, caught: type[BaseException], said: str
) -> None:
    path = write_text(tmp_path / "page.md", "old")

    def write() -> None:
        with written_beside(path) as beside:
            beside.write_text("ne")
            raise failure

    with pytest.raises(caught, match=said):
        write()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.md"]


def test_a_file_is_on_the_disk_before_the_old_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = write_text(tmp_path / "page.md", "old"), []

    def sync(opened: int) -> None:
        place = Path(f"/proc/self/fd/{opened}").readlink()
        seen.append((place.name, path.read_text()))

    monkeypatch.setattr(files.os, "fsync", sync)
    write_text(path, "new")
    assert seen == [(f"page.md.{os.getpid()}.tmp", "old"), (tmp_path.name, "new")]
    seen.clear()
    write_text(path, "newer", durable=False)
    assert seen == []


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        ("cache/stages/a/weights.safetensors", "Free some room or set LTBENCH_CACHE to another folder."),
        ("results/LEADERBOARD.md", "Free some room or choose another folder."),
    ],
)
def test_the_advice_fits_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, advice: str) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / place
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.touch()
    with pytest.raises(DataError) as caught:
        write_text(path, "")
    assert str(caught.value) == f"{path} cannot be written: File exists. {advice}"


def test_a_folder_is_copied_file_by_file(tmp_path: Path) -> None:
    write_text(tmp_path / "from" / "deep" / "a.txt", "a")
    write_text(tmp_path / "to" / "deep" / "a.txt", "older")
    copy_folder(tmp_path / "from", tmp_path / "to")
    copy_folder(tmp_path / "nowhere", tmp_path / "to")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("to/**/*.*")] == ["to/deep/a.txt"]
    assert (tmp_path / "to" / "deep" / "a.txt").read_text() == "a"
