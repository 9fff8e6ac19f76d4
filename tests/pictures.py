"""Image files as they occur: JPEG of every kind, other formats, and broken ones."""

import contextlib
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ROTATED = 6
"""EXIF orientation: the camera was turned by a quarter."""


def picture(width: int = 50, height: int = 37, seed: int = 0) -> Image.Image:
    """Smooth colours, so that JPEG changes them little."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def good_files(folder: Path) -> dict[str, Path]:
    """Kind -> a readable file that shows :func:`picture`."""
    folder.mkdir(parents=True, exist_ok=True)
    image = picture()
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    files = {
        name: folder / f"{name}.JPEG" for name in ("rgb", "grey", "cmyk", "rotated", "png", "palette", "bmp", "deep")
    }
    image.save(files["rgb"], quality=95)
    image.convert("L").save(files["grey"], quality=95)
    image.convert("CMYK").save(files["cmyk"], quality=95)
    image.save(files["rotated"], quality=95, exif=exif)
    image.convert("RGBA").save(files["png"], format="PNG")
    image.convert("P").save(files["palette"], format="PNG")
    image.save(files["bmp"], format="BMP")
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(files["deep"], format="PNG")
    return files


def bad_files(folder: Path) -> dict[str, Path]:
    """What the message must say -> a file that cannot be read."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "whole.jpg"
    picture().save(whole)
    files = {
        "truncated": folder / "truncated.jpg",
        "empty": folder / "empty.jpg",
        "not an image": folder / "text.jpg",
        "no such file": folder / "missing.jpg",
    }
    files["truncated"].write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    files["empty"].write_bytes(b"")
    files["not an image"].write_text("<html>404 Not Found</html>")
    return files


def tree(root: Path, counts: dict[str, int], size: tuple[int, int] = (40, 30), seed: int = 0) -> list[Path]:
    """Small JPEGs ``<root>/<class>/<k>.jpg``; each class has a colour of its own."""
    rng = np.random.default_rng(seed)
    made = []
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        colour = rng.integers(30, 226, 3)
        for number in range(count):
            noise = rng.normal(0, 20, (6, 8, 3))
            image = Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8)).resize(size)
            made.append(root / name / f"{number}.jpg")
            image.save(made[-1], quality=85)
    return made


def huge_png(path: Path, width: int = 13_000, height: int = 13_000) -> Path:
    """A few bytes whose header announces a large picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(b"\0")), _chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_jpeg(path: Path, width: int = 13_000, height: int = 13_000) -> Path:
    """A JPEG of a few pixels whose header announces many."""
    picture().save(path, "JPEG")
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    path.write_bytes(content)
    return path


def no_files(folder: Path) -> dict[str, Path]:
    """What the message must say -> something with the name of an image that is no file to read."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {
        "a named pipe": folder / "pipe.jpg",
        "a device": folder / "device.jpg",
        "a socket": folder / "socket.jpg",
        "Too many levels of symbolic links": folder / "loop.jpg",
    }
    os.mkfifo(places["a named pipe"])
    places["a device"].symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(folder):  # the path of a socket must be short
        made.bind("socket.jpg")
    places["Too many levels of symbolic links"].symlink_to("loop.jpg")
    return places
