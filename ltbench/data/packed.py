"""Packed images: decoded and resized once, kept as raw pixels in one memory-mapped file, each with a checksum.

Layout, little-endian: 8 bytes magic, 8 bytes length of the header, the header (JSON, padded), the table (an entry for each
image), the pixels (uint8[H, W, 3], image after image). While it is written the file is called ``*.partial``; after all
images are in, every one is read back and the file renamed. A partial file is continued where its table ends.
"""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional as F

from ltbench.canonical import digest
from ltbench.data.image_files import BadImage, StoredSplit, read_image
from ltbench.data.image_list import ImageList
from ltbench.errors import DataError
from ltbench.threads import one_torch_thread

_MAGIC = b"LTBPACK1"
_HEADER_BYTES = 4096
_ENTRY = np.dtype([("offset", "<u8"), ("height", "<u4"), ("width", "<u4"), ("crc", "<u4"), ("written", "<u4")])
_CHUNK = 256
"""Images that are written before the table is."""


@dataclass(frozen=True)
class PackSettings:
    """How images are packed.

    Attributes:
        short_side: pixels; smaller images are not enlarged.
        upright: turned as their EXIF orientation says.
    """

    short_side: int = 256
    upright: bool = False


def pack_name(images: ImageList, split: str, settings: PackSettings) -> str:
    """The file's name: another list or other settings make another file."""
    return f"{split}-{settings.short_side}-{_identity(images, settings)[:12]}.pack"


def pack(images: ImageList, path: Path, settings: PackSettings, progress: Callable[[], None] = lambda: None) -> Path:
    """Write the packed file of these images, or what is missing of it; ``progress`` is called for each image.

    Raises:
        DataError: images that cannot be read (all are named after the rest is packed), no room, or a file that does not
            read back as it was written.
    """
    if path.is_file():
        for _ in images.names:
            progress()
        return path
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            if not path.is_file():
                _write(images, partial, settings, progress)
                verify(partial)
                partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}. What is packed stays in {partial.name}; "
            "run the command again to continue, or with --in-cache to write into the cache folder."
        ) from error
    return path


def verify(path: Path, progress: Callable[[], None] = lambda: None) -> None:
    """Read every image of a packed file. Raises DataError for the first that is not what was written."""
    packed = _Packed(path)
    for index in range(len(packed.table)):
        packed.pixels(index)
        progress()


def in_words(size: float) -> str:
    """Bytes in GB, or in MB where that is less than one."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def space_needed(images: ImageList, path: Path, settings: PackSettings, sample: int = 64) -> str:
    """In words: how large the file will be, estimated from some images at equal steps, and how much room there is.

    Raises:
        DataError: there is not enough room.
    """
    some = [images.files[position] for position in range(0, len(images), max(1, len(images) // sample))]
    sizes = []
    for file in some:
        with suppress(BadImage):
            sizes.append(_resized(read_image(file, settings.upright), settings.short_side).nbytes)
    needed = len(images) * sum(sizes) / max(1, len(sizes))
    there = next(parent for parent in path.parents if parent.is_dir())
    partial = path.with_name(path.name + ".partial")
    room = shutil.disk_usage(there).free + (partial.stat().st_size if partial.is_file() else 0)
    text = f"{path.name}: about {in_words(needed)} for {len(images):,} images; {in_words(room)} free in {there}"
    if needed > room:
        raise DataError(f"{text}. Make room, choose another place with --in-cache, or a smaller --set short_side.")
    return text


class PackedSplit(StoredSplit):
    """The images of a packed file; a byte that changed since it was written is an error when its image is read.

    Raises:
        DataError: there is no such file, or it is damaged or holds other images.
    """

    def __init__(self, images: ImageList, path: Path, settings: PackSettings, size: int) -> None:
        super().__init__(images.labels, size)
        self._packed = _Packed(path)
        if self._packed.header["identity"] != _identity(images, settings):
            raise DataError(f"{path} holds other images than the lists name; run 'ltbench data pack' again.")

    def image(self, index: int) -> Tensor:
        return torch.from_numpy(self._packed.pixels(index)).permute(2, 0, 1)


class _Packed:
    """A packed file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.header, self.table, _ = _open(path)
            self._bytes = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path} is no packed file or a damaged one ({error}); delete it and pack again."
            ) from error
        if zlib.crc32(self.table.tobytes()) != self.header.get("table_crc", -1) and path.suffix != ".partial":
            raise DataError(f"{path} is damaged: its table is not what was written. Delete it and pack again.")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def pixels(self, index: int) -> np.ndarray:
        """uint8[H, W, 3], a copy."""
        entry = self.table[index]
        start, height, width = int(entry["offset"]), int(entry["height"]), int(entry["width"])
        found = np.array(self._bytes[start : start + height * width * 3])
        if zlib.crc32(found.data) != entry["crc"] or not entry["written"]:
            raise DataError(
                f"{self.path}: image {index} is not what was written (checksum). Delete the file and pack again."
            )
        return found.reshape(height, width, 3)


def _identity(images: ImageList, settings: PackSettings) -> str:
    return digest([list(images.names), settings.short_side, settings.upright])


def _open(path: Path) -> tuple[dict[str, Any], np.ndarray, int]:
    """(header, table, where the pixels begin)"""
    with path.open("rb") as file:
        start = file.read(len(_MAGIC) + 8)
        if start[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin as one")
        header = json.loads(file.read(int.from_bytes(start[len(_MAGIC) :], "little")))
        file.seek(_HEADER_BYTES)
        table = np.frombuffer(file.read(header["count"] * _ENTRY.itemsize), _ENTRY).copy()
        if len(table) != header["count"]:
            raise ValueError("it is cut short")
        return header, table, file.tell()


def _write_header(file: BinaryIO, header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    file.seek(0)
    file.write(_MAGIC + len(text).to_bytes(8, "little") + text.ljust(_HEADER_BYTES - len(_MAGIC) - 8))


def _start(images: ImageList, partial: Path, settings: PackSettings) -> tuple[dict[str, Any], np.ndarray, int]:
    """The partial file that is there, or a new one; one that cannot be continued is begun anew."""
    header = {"count": len(images), "short_side": settings.short_side, "identity": _identity(images, settings)}
    try:
        found, table, start = _open(partial)
        if found["identity"] == header["identity"]:
            return header, table, start
    except (OSError, ValueError, KeyError):
        pass
    with partial.open("wb") as file:
        _write_header(file, header)
        table = np.zeros(len(images), _ENTRY)
        file.write(table.tobytes())
        return header, table, file.tell()


def _write(images: ImageList, partial: Path, settings: PackSettings, progress: Callable[[], None]) -> None:
    header, table, start = _start(images, partial, settings)
    bad: list[str] = []
    with partial.open("r+b") as file:
        missing = np.flatnonzero(table["written"] == 0)
        ends = table["offset"] + 3 * table["height"].astype(np.uint64) * table["width"]
        end = max(start, int(ends[table["written"] == 1].max(initial=0)))
        for _ in range(len(images) - len(missing)):
            progress()
        for positions, pictures in _decoded(images, missing, settings):
            file.seek(end)
            for position, picture in zip(positions, pictures, strict=True):
                progress()
                if isinstance(picture, BadImage):
                    bad.append(f"{images.files[position]}: {picture}")
                    continue
                content = picture.tobytes()
                file.write(content)
                table[position] = (end, *picture.shape[:2], zlib.crc32(content), 1)
                end += len(content)
            # The pixels must lie on the disk before the table says so.
            file.flush()
            os.fsync(file.fileno())
            file.seek(_HEADER_BYTES)
            file.write(table.tobytes())
            file.flush()
        if bad:
            raise DataError(_unreadable(bad, len(images)))
        _write_header(file, header | {"table_crc": zlib.crc32(table.tobytes())})


def _decoded(
    images: ImageList, positions: np.ndarray, settings: PackSettings
) -> Iterator[tuple[np.ndarray, list[np.ndarray | BadImage]]]:
    """Chunks of positions with their pixels uint8[H, W, 3], or what is wrong with them."""

    def one(position: int) -> np.ndarray | BadImage:
        try:
            return _resized(read_image(images.files[position], settings.upright), settings.short_side)
        except BadImage as error:
            return error

    with one_torch_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(positions), _CHUNK):
            chunk = positions[first : first + _CHUNK]
            yield chunk, list(pool.map(one, chunk.tolist()))


def _resized(image: Tensor, short_side: int) -> np.ndarray:
    """uint8[3, H, W] with its short side reduced: uint8[h, w, 3]."""
    height, width = image.shape[1:]
    shortest = min(height, width)
    if shortest > short_side:
        size = (round(height * short_side / shortest), round(width * short_side / shortest))
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _unreadable(bad: list[str], total: int) -> str:
    shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
    return (
        f"{len(bad)} of {total} images cannot be read: {shown}. The others are packed; mend these and run the command "
        "again, or leave them out with --on-bad-image skip."
    )
