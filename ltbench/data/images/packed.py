"""Packed copies of image files: decoded and resized once (``packed_file.py`` has the format).

While it is written the file is called ``*.partial``; after all images are in, every one is read back and the file renamed. A
partial file is continued where its table ends. A file that is not what was written, or a copy of other files, is refused by
a run; packing again sets it aside.
"""

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional as F

from ltbench.common.canonical import digest
from ltbench.common.sealed import Damaged, set_aside
from ltbench.common.threads import one_torch_thread
from ltbench.data.images.contents import Contents, read_contents
from ltbench.data.images.image_bytes import BadImage, read_bytes, stamp
from ltbench.data.images.image_files import StoredSplit, read_image
from ltbench.data.images.image_list import ImageList
from ltbench.data.images.packed_file import ENTRY, HEAD_BYTES, PackedFile, ends_of, read_head, unusable, write_head
from ltbench.errors import DataError

__all__ = ["PackSettings"]

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


def pack(
    images: ImageList,
    path: Path,
    settings: PackSettings,
    progress: Callable[[], None] = lambda: None,
    contents: Contents | None = None,
) -> Path:
    """Write the packed file of these images, or what is missing of it; ``progress`` is called for each image.

    A file that is there is read whole. One that is damaged, or a copy of other files, is set aside with a line that says so.

    Args:
        contents: of the images' files, where they are known.

    Raises:
        DataError: images that cannot be read (all are named after the rest is packed), no room, or a file that does not
            read back as it was written.
    """
    contents = contents or read_contents(images.files)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            if not _usable(images, path, settings, contents, progress):
                _write(images, partial, settings, contents, progress)
                _read_back(partial)
                partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}. What is packed stays in {partial.name}; "
            "run the command again to continue, or with --in-cache to write into the cache folder."
        ) from error
    return path


def _usable(
    images: ImageList, path: Path, settings: PackSettings, contents: Contents, progress: Callable[[], None]
) -> bool:
    """Whether the packed file is there, whole, and of these images; what is there and is not is set aside."""
    if not path.exists():
        return False
    try:
        PackedSplit(images, path, settings, 1, contents)
        verify(path, progress)
    except Damaged as why:
        set_aside(path, why, "packing again")
        return False
    return True


def _read_back(partial: Path) -> None:
    try:
        verify(partial)
    except Damaged as why:
        set_aside(partial, why, "nothing of it is used")
        raise DataError(f"{partial.name} does not read back as it was written. Check the disk and pack again.") from why


def verify(path: Path, progress: Callable[[], None] = lambda: None) -> None:
    """Read every image of a packed file. Raises DataError for the first that is not what was written."""
    packed = PackedFile(path)
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

    Args:
        contents: of the files that ``images`` names, to see whether the copy is one of them; those that are not there are
            passed over. None: nothing is known of them.

    Attributes:
        originals: uint8[N, 32], sha256 of the files that the images were decoded from.

    Raises:
        DataError: there is no such file, it is damaged, or holds other images.
    """

    def __init__(
        self, images: ImageList, path: Path, settings: PackSettings, size: int, contents: Contents | None = None
    ) -> None:
        super().__init__(images.labels, size)
        self._packed = PackedFile(path)
        if self._packed.header["identity"] != _identity(images, settings):
            raise unusable(path, "holds other images than the lists name")
        self.originals: np.ndarray = self._packed.table["original"]
        if contents is not None and len(other := _differing(self.originals, contents)):
            more = f" and {len(other) - 1:,} more" if len(other) > 1 else ""
            raise unusable(path, f"was made of other images than are there now ({images.files[other[0]]}{more})")

    def image(self, index: int) -> Tensor:
        return torch.from_numpy(self._packed.pixels(index)).permute(2, 0, 1)


def _differing(originals: np.ndarray, contents: Contents) -> np.ndarray:
    """Positions of the files that are there and not what the images were decoded from: int64[M]."""
    return np.setdiff1d(np.flatnonzero((originals != contents.digests).any(axis=1)), [*contents.wrong])


def _identity(images: ImageList, settings: PackSettings) -> str:
    return digest([list(images.names), settings.short_side, settings.upright])


def _start(
    images: ImageList, partial: Path, settings: PackSettings, contents: Contents
) -> tuple[dict[str, Any], np.ndarray, int]:
    """The partial file that is there, without images of files that have changed, or a new one."""
    header = {"count": len(images), "short_side": settings.short_side, "identity": _identity(images, settings)}
    if partial.exists():
        try:
            found, table, start = read_head(partial)
            if found["identity"] == header["identity"]:
                table[_differing(table["original"], contents)] = np.zeros((), ENTRY)
                return header, table, start
        except Damaged as why:
            set_aside(partial, why, "beginning anew")
    with partial.open("wb") as file:
        write_head(file, header)
        table = np.zeros(len(images), ENTRY)
        file.write(table.tobytes())
        return header, table, file.tell()


def _write(
    images: ImageList, partial: Path, settings: PackSettings, contents: Contents, progress: Callable[[], None]
) -> None:
    header, table, start = _start(images, partial, settings, contents)
    bad: list[str] = []
    with partial.open("r+b") as file:
        missing = np.flatnonzero(table["written"] == 0)
        end = max(start, int(ends_of(table).max(initial=0)))
        for _ in range(len(images) - len(missing)):
            progress()
        for positions, pictures in _decoded(images, missing, settings):
            file.seek(end)
            for position, picture in zip(positions, pictures, strict=True):
                progress()
                if isinstance(picture, BadImage):
                    bad.append(f"{images.files[position]}: {picture}")
                    continue
                content = picture.pixels.tobytes()
                file.write(content)
                original = np.frombuffer(picture.original, np.uint8)
                table[position] = (end, *picture.pixels.shape[:2], zlib.crc32(content), 1, original)
                end += len(content)
            # The pixels must lie on the disk before the table says so.
            file.flush()
            os.fsync(file.fileno())
            file.seek(HEAD_BYTES)
            file.write(table.tobytes())
            file.flush()
        if bad:
            raise DataError(_unreadable(bad, len(images)))
        file.truncate(end)
        write_head(file, header | {"table_crc": zlib.crc32(table.tobytes())})
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True)
class _Picture:
    """uint8[H, W, 3], and the sha256 of the file that it was decoded from."""

    pixels: np.ndarray
    original: bytes


def _decoded(
    images: ImageList, positions: np.ndarray, settings: PackSettings
) -> Iterator[tuple[np.ndarray, list[_Picture | BadImage]]]:
    """Chunks of positions with their pictures, or what is wrong with them."""

    def one(position: int) -> _Picture | BadImage:
        file = images.files[position]
        try:
            content, before = read_bytes(file)
            pixels = _resized(read_image(file, settings.upright), settings.short_side)
            if stamp(file) != before:
                return BadImage("changed while it was packed")
            return _Picture(pixels, hashlib.sha256(content).digest())
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
