"""The file of packed images: raw pixels in one memory-mapped file, each image with a checksum.

Layout, little-endian: the head (8 bytes magic, 4 bytes length, JSON, padding, CRC-32 of all that), the table (an entry for
each image), the pixels (uint8[H, W, 3], image after image). An entry holds the digest of the file that its image was decoded
from, so that a copy says what it is a copy of even where the originals are gone.
"""

import json
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ltbench.common.sealed import Damaged
from ltbench.data.images.contents import DIGEST_BYTES
from ltbench.errors import DataError

ENTRY = np.dtype(
    [
        ("offset", "<u8"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("crc", "<u4"),
        ("written", "<u4"),
        ("original", "u1", DIGEST_BYTES),
    ]
)

HEAD_BYTES = 4096
"""Where the table begins."""

_MAGIC = b"LTBPACK2"


def unusable(path: Path, what: str) -> Damaged:
    """The error of a packed file that is damaged, or a copy of something else; ``what`` is read after its name."""
    return Damaged(path, what, "Delete it, or let 'ltbench data pack' set it aside and pack again.")


class PackedFile:
    """A packed file, mapped into memory. Every image is compared with its checksum when it is read.

    Raises:
        Damaged: it is not what was written.
        DataError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header, self.table, start = read_head(path)
        if not self.partial and zlib.crc32(self.table.tobytes()) != self.header.get("table_crc", -1):
            raise unusable(path, "is damaged: its table is not what was written")
        self._bytes = np.memmap(path, np.uint8, "r")
        ends = self.ends
        if len(late := np.flatnonzero(ends > len(self._bytes))):
            raise unusable(path, f"is damaged: it ends before image {late[0]} does")
        if not self.partial and len(self._bytes) > max(start, int(ends.max(initial=0))):
            raise unusable(path, "is damaged: something follows its last image")

    @property
    def partial(self) -> bool:
        """It is still being written."""
        return self.path.suffix == ".partial"

    @property
    def ends(self) -> np.ndarray:
        """uint64[N], where the pixels of each image end; 0 for one that is not written."""
        return ends_of(self.table)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def pixels(self, index: int) -> np.ndarray:
        """uint8[H, W, 3], a copy. Raises Damaged when they are not what was written."""
        entry = self.table[index]
        start, height, width = int(entry["offset"]), int(entry["height"]), int(entry["width"])
        found = np.array(self._bytes[start : start + height * width * 3])
        if zlib.crc32(found.data) != entry["crc"] or not (entry["written"] and found.size):
            raise unusable(self.path, f"is damaged: image {index} is not what was written (checksum)")
        return found.reshape(height, width, 3)


def ends_of(table: np.ndarray) -> np.ndarray:
    """See :attr:`PackedFile.ends`."""
    sizes = 3 * table["height"].astype(np.uint64) * table["width"]
    ends: np.ndarray = np.where(table["written"] > 0, table["offset"] + sizes, 0)
    return ends


def read_head(path: Path) -> tuple[dict[str, Any], np.ndarray, int]:
    """(header, table, where the pixels begin). Raises as :class:`PackedFile`."""
    try:
        with path.open("rb") as file:
            head, checksum = file.read(HEAD_BYTES - 4), file.read(4)
            if head[: len(_MAGIC)] != _MAGIC or zlib.crc32(head).to_bytes(4, "little") != checksum:
                raise unusable(path, "is damaged, or no packed file of this version: its head is not what was written")
            length = int.from_bytes(head[len(_MAGIC) : len(_MAGIC) + 4], "little")
            header = json.loads(head[len(_MAGIC) + 4 :][:length])
            table = np.frombuffer(
                content := file.read(header["count"] * ENTRY.itemsize), ENTRY, len(content) // ENTRY.itemsize
            )
            if len(table) != header["count"]:
                raise unusable(path, "is damaged: it ends within its table")
            return header, table.copy(), file.tell()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def write_head(file: BinaryIO, header: dict[str, Any]) -> None:
    """The head, at the beginning of the file."""
    text = json.dumps(header).encode()
    head = (_MAGIC + len(text).to_bytes(4, "little") + text).ljust(HEAD_BYTES - 4)
    file.seek(0)
    file.write(head + zlib.crc32(head).to_bytes(4, "little"))
