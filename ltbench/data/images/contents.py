"""The content of image files as digests; a file that was read before and is as it was is not read again.

A copied, moved or touched file has the content that it had, so what is kept under it in the cache serves again; another
picture under the old name has not.
"""

import hashlib
import os
import time
from array import array
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ltbench.common.cache import cache_dir
from ltbench.common.sealed import Damaged, set_aside
from ltbench.common.sealed_tensors import read_tensors, write_tensors
from ltbench.data.base import Watch, unwatched
from ltbench.data.images.image_bytes import BadImage, Stamp, read_bytes, stamp

__all__ = ["Contents"]

DIGEST_BYTES = 32

SETTLED_NS = 2_000_000_000
"""Age of a change from which a file is remembered: one that follows within the clock's tick would leave the same stamp."""

_TOGETHER = 64
"""Files that a thread reads in a row."""


@dataclass(frozen=True)
class Contents:
    """What N files hold.

    Attributes:
        digests: uint8[N, 32], sha256 of the bytes of each; zeros for what cannot be read.
        stamps: int64[N, 4] of each: what of a file changes when it is written.
        wrong: position -> why the file cannot be read.
    """

    digests: np.ndarray
    stamps: np.ndarray
    wrong: dict[int, str]

    def only(self, positions: np.ndarray) -> "Contents":
        """The files at ``positions`` (int64[M]), in that order."""
        wrong = {place: self.wrong[old] for place, old in enumerate(positions.tolist()) if old in self.wrong}
        return Contents(self.digests[positions], self.stamps[positions], wrong)


def read_contents(files: Sequence[str], root: Path | None = None, watch: Watch = unwatched) -> Contents:
    """What the files hold now: read, or remembered of those whose stamp is the one that they were read with.

    What was read is remembered even where the reading is interrupted.

    Args:
        root: the folder of the images; what is known of its files is kept together.
        watch: shows the progress over the files that have to be read.

    Raises:
        DataError: the cache folder cannot be written.
    """
    memo = _Memo(str(root or ""))
    found = _stamped(files)
    known = memo.known(files, found)
    unread = [position for position in np.flatnonzero(~known).tolist() if position not in found.wrong]
    if unread:
        try:
            reading = _read([files[position] for position in unread], unread)
            with watch("reading images", len(unread)) as done, closing(reading):
                for position, content in reading:
                    _enter(found, position, content)
                    known[position] = isinstance(content, _Read) and content.settled
                    done()
        finally:
            memo.remember(files, found, known)
    return found


@dataclass(frozen=True)
class _Read:
    """One file. ``settled``: its stamp will tell it from a changed one."""

    digest: bytes
    stamp: Stamp
    settled: bool


def _stamped(files: Sequence[str]) -> Contents:
    stamps, wrong = array("q"), {}
    for position, file in enumerate(files):
        try:
            stamps.extend(stamp(file))
        except BadImage as error:
            stamps.extend((-1, -1, -1, -1))
            wrong[position] = str(error)
    return Contents(np.zeros((len(files), DIGEST_BYTES), np.uint8), np.array(stamps, np.int64).reshape(-1, 4), wrong)


def _read(files: Sequence[str], positions: Sequence[int]) -> Generator[tuple[int, "_Read | BadImage"], None, None]:
    """(position, content) of each file, in order, several threads at work."""
    parts = [files[first : first + _TOGETHER] for first in range(0, len(files), _TOGETHER)]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        contents = (content for part in pool.map(_read_part, parts) for content in part)
        yield from zip(positions, contents, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _read_part(files: Sequence[str]) -> list["_Read | BadImage"]:
    return [_read_one(file) for file in files]


def _read_one(file: str) -> "_Read | BadImage":
    try:
        began = time.time_ns()
        content, before = read_bytes(file)
        settled = before == stamp(file) and before.changed + SETTLED_NS < began
        return _Read(hashlib.sha256(content).digest(), before, settled)
    except BadImage as error:
        return error


def _enter(found: Contents, position: int, content: "_Read | BadImage") -> None:
    if isinstance(content, BadImage):
        found.wrong[position] = str(content)
        return
    found.digests[position] = np.frombuffer(content.digest, np.uint8)
    found.stamps[position] = content.stamp


class _Memo:
    """What is remembered of the files of one folder: their paths (from it on, where they lie in it), stamps and digests."""

    def __init__(self, root: str) -> None:
        self.root = root
        place = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()
        self.path = cache_dir() / "contents" / f"{place[:32]}.safetensors"
        self.names: list[bytes] = []
        self.stamps, self.digests = np.zeros((0, 4), np.int64), np.zeros((0, DIGEST_BYTES), np.uint8)
        if self.path.exists():
            try:
                kept = read_tensors(self.path, self._of).tensors
            except Damaged as why:
                set_aside(self.path, why, "the images are read again")
            else:
                self.names = kept["names"].numpy().tobytes().split(b"\0") if len(kept["stamps"]) else []
                self.stamps, self.digests = kept["stamps"].numpy(), kept["digests"].numpy()

    @property
    def _of(self) -> str:
        return f"contents of {self.path.stem}"

    def known(self, files: Sequence[str], found: Contents) -> np.ndarray:
        """bool[N]: the files whose digests were remembered and are now entered in ``found``."""
        place = {name: position for position, name in enumerate(self.names)}
        places = np.array([place.get(name, -1) for name in self._names_of(files)], np.int64)
        known = np.zeros(len(files), bool)
        there = np.flatnonzero(places >= 0)
        same = there[(self.stamps[places[there]] == found.stamps[there]).all(axis=1)]
        known[same] = True
        found.digests[same] = self.digests[places[same]]
        return known

    def remember(self, files: Sequence[str], found: Contents, which: np.ndarray) -> None:
        """Keep the files at ``which`` (bool[N]) beside what is known of others."""
        names = self._names_of(files)
        asked = set(names)
        others = np.array([position for position, name in enumerate(self.names) if name not in asked], np.int64)
        chosen = np.flatnonzero(which)
        together = [self.names[position] for position in others] + [names[position] for position in chosen]
        tensors = {
            "names": torch.frombuffer(bytearray(b"\0".join(together) or b"\0"), dtype=torch.uint8),
            "stamps": torch.from_numpy(np.concatenate([self.stamps[others], found.stamps[chosen]])),
            "digests": torch.from_numpy(np.concatenate([self.digests[others], found.digests[chosen]])),
        }
        write_tensors(self.path, tensors, self._of)

    def _names_of(self, files: Sequence[str]) -> list[bytes]:
        above = os.path.join(self.root, "")  # noqa: PTH118 (a prefix)
        return [os.fsencode(file.removeprefix(above)) for file in files]
