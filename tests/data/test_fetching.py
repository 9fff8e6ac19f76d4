"""Fetching lists from a server on this machine."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ltbench_datasets.published import list_diff
from ltbench_datasets.published.annotations import git_blob, sha256
from ltbench_datasets.published.benchmark import INATURALIST2018
from ltbench_datasets.published.facts import KnownList
from ltbench_datasets.published.fetching import fetch_lists

from ltbench.errors import DataError

LISTS = {"train": b"train_val2018/Aves/0/1.jpg 0\n", "val": b"train_val2018/Aves/0/2.jpg 0\n"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def known(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> list[KnownList]:
    """The two lists as the facts would have them: of one only the blob id is known, the other has a dead address first."""
    folder, address = served
    lists = []
    for split, content in LISTS.items():
        (folder / f"{split}.txt").write_bytes(content)
        digest, urls = ("", [f"{address}/train.txt"])
        if split == "val":
            digest, urls = sha256(content), [f"{address}/gone.txt", f"{address}/val.txt"]
        lists.append(KnownList("inaturalist2018", split, "v", digest, git_blob(content), 1, "", tuple(urls)))
    monkeypatch.setattr(list_diff, "known_lists", lambda dataset: lists)
    return lists


def test_lists_are_fetched_verified_and_put_in_place(known: list[KnownList], tmp_path: Path) -> None:
    target = tmp_path / "new" / "lists"
    done = list(fetch_lists(INATURALIST2018, known, target))
    files = {name: target / file for name, file in INATURALIST2018.lists.items()}
    assert done == [(files["train"], "fetched, verified"), (files["val"], "fetched, verified")]
    assert {name: file.read_bytes() for name, file in files.items()} == LISTS
    assert sorted(target.iterdir()) == sorted(files.values())


def test_a_list_that_is_there_is_not_fetched_again(
    known: list[KnownList], served: tuple[Path, str], tmp_path: Path
) -> None:
    list(fetch_lists(INATURALIST2018, known, tmp_path))
    (served[0] / "train.txt").unlink()
    assert [what for _, what in fetch_lists(INATURALIST2018, known, tmp_path)] == ["was there, verified"] * 2


def test_another_content_is_refused_and_nothing_written(
    known: list[KnownList], served: tuple[Path, str], tmp_path: Path
) -> None:
    (served[0] / "train.txt").write_bytes(LISTS["train"].replace(b"1.jpg", b"3.jpg"))
    target = tmp_path / "lists"
    with pytest.raises(
        DataError, match=r"iNaturalist18_train\.txt could not .* nothing was written.*not the published list"
    ):
        list(fetch_lists(INATURALIST2018, known, target))
    assert not target.exists()


def test_a_users_own_file_is_never_replaced(known: list[KnownList], tmp_path: Path) -> None:
    own = tmp_path / "iNaturalist18_train.txt"
    own.write_bytes(b"mine.jpg 0\n")
    with pytest.raises(DataError, match="exists and is not a published list"):
        list(fetch_lists(INATURALIST2018, known, tmp_path))
    assert own.read_bytes() == b"mine.jpg 0\n"


def test_every_address_that_failed_is_named_with_its_reason(tmp_path: Path) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    address = f"http://127.0.0.1:{closed.server_port}/a.txt"
    closed.server_close()
    absent = (tmp_path / "absent.txt").as_uri()
    known = KnownList("inaturalist2018", "train", "v", "", "0" * 40, 1, "", (address, absent))
    with pytest.raises(DataError) as raised:
        list(fetch_lists(INATURALIST2018, [known], tmp_path / "lists"))
    said = str(raised.value)
    assert re.search(f"{re.escape(address)}: .*Connection refused", said)
    assert f"{absent}: " in said
    assert f"put it into {tmp_path / 'lists'}" in said


def test_a_folder_that_cannot_be_written_is_named(known: list[KnownList], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"file/iNaturalist18_train\.txt cannot be written"):
        list(fetch_lists(INATURALIST2018, known, tmp_path / "file"))
