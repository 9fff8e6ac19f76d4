"""``path label`` lists."""

import gzip
import re
from pathlib import Path

import pytest
from ltbench_datasets.published.annotations import git_blob, read_annotations, sha256

from ltbench.errors import DataError


def written(tmp_path: Path, content: bytes, name: str = "list.txt") -> Path:
    file = tmp_path / name
    file.write_bytes(content)
    return file


def test_paths_and_labels_in_their_order(tmp_path: Path) -> None:
    found = read_annotations(written(tmp_path, b"train/b/2.jpg 1\ntrain/a/1.jpg 0\n"))
    assert found.paths == ["train/b/2.jpg", "train/a/1.jpg"]
    assert found.labels.tolist() == [1, 0]
    assert found.labels.dtype == "int64"


@pytest.mark.parametrize("line", [b"my photos/a b.jpg 12", b"my photos/a b.jpg\t12", b"my photos/a b.jpg 12  "])
def test_a_path_may_hold_spaces(tmp_path: Path, line: bytes) -> None:
    found = read_annotations(written(tmp_path, line + b"\n"))
    assert (found.paths, found.labels.tolist()) == (["my photos/a b.jpg"], [12])


def test_line_ends_of_windows_and_blank_lines(tmp_path: Path) -> None:
    found = read_annotations(written(tmp_path, b"a.jpg 0\r\n\r\nb.jpg 1\r\n"))
    assert (found.paths, found.lines.tolist()) == (["a.jpg", "b.jpg"], [1, 3])


def test_a_gzipped_list_reads_like_a_plain_one(tmp_path: Path) -> None:
    content = b"a.jpg 0\nb.jpg 1\n"
    plain = read_annotations(written(tmp_path, content))
    packed = read_annotations(written(tmp_path, gzip.compress(content), "list.txt.gz"))
    assert packed.paths == plain.paths
    assert packed.labels.tolist() == plain.labels.tolist()


@pytest.mark.parametrize(
    "line", [b"b.jpg", b"b.jpg -1", b"b.jpg one", b"b.jpg 1.0", "b.jpg ²".encode(), b"b.jpg " + b"9" * 30]
)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: bytes) -> None:
    file = written(tmp_path, b"a.jpg 0\n" + line + b"\nc.jpg 1\n")
    with pytest.raises(DataError, match=f"{re.escape(str(file))}, line 2: expected 'path label'"):
        read_annotations(file)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"\n", "list.txt", "lists no image"),
        (b"caf\xe9.jpg 0\n", "list.txt", "no text in UTF-8"),
        (b"a.jpg 0\n", "list.txt.gz", "no whole gzip file"),
        (gzip.compress(b"a.jpg 0\n" * 99, mtime=0)[:-12], "list.txt.gz", "no whole gzip file"),
    ],
)
def test_what_is_no_list_is_refused_with_its_path(tmp_path: Path, content: bytes, name: str, said: str) -> None:
    file = written(tmp_path, content, name)
    with pytest.raises(DataError, match=f"{re.escape(str(file))} .*{said}"):
        read_annotations(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt cannot be read: No such file"):
        read_annotations(tmp_path / "none.txt")


def test_the_hashes_are_those_of_git_and_sha256sum() -> None:
    # git hash-object and sha256sum of a file with the line 'hello world'
    assert git_blob(b"hello world\n") == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"
    assert sha256(b"hello world\n") == "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"
