"""Which image files cannot be read: all are decoded once."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import simplejpeg

from ltbench.common.cache import cache_dir
from ltbench.common.canonical import digest
from ltbench.common.sealed import Damaged, read_json, set_aside, write_json
from ltbench.common.threads import one_torch_thread
from ltbench.data.base import Watch
from ltbench.data.images.contents import Contents
from ltbench.data.images.image_bytes import MAX_BYTES, MAX_PIXELS, BadImage
from ltbench.data.images.image_files import read_image

_READ_BY = [PIL.__version__, simplejpeg.__version__, MAX_PIXELS, MAX_BYTES]
"""What decides, beside its content, whether a file can be read."""


def scan(files: Sequence[str], progress: Callable[[], None] = lambda: None) -> dict[int, str]:
    """Position -> what is wrong, for the files that cannot be read; ``progress`` is called after each, from any thread."""

    def wrong(file: str) -> str:
        try:
            read_image(file)
        except BadImage as error:
            return str(error)
        finally:
            progress()
        return ""

    with one_torch_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        return {position: text for position, text in enumerate(pool.map(wrong, files)) if text}


def remembered_scan(files: Sequence[str], contents: Contents, label: str, watch: Watch) -> dict[int, str]:
    """As :func:`scan`; files of the same contents in the same order are decoded once, wherever they lie.

    Args:
        contents: of the files.

    Raises:
        DataError: the cache folder cannot be written.
    """
    there = np.setdiff1d(np.arange(len(files)), [*contents.wrong])
    key = digest([contents.digests[there].tobytes().hex(), _READ_BY])
    path = cache_dir() / "scans" / f"{key[:32]}.json"
    found = _remembered(path)
    if found is None:
        with watch(label, len(there)) as done:
            found = scan([files[position] for position in there], done)
        write_json(path, {"wrong": found}, _of(path), durable=False)
    return contents.wrong | {int(there[place]): text for place, text in found.items()}


def _remembered(path: Path) -> dict[int, str] | None:
    """What an earlier scan found; None where there is none, or a damaged one, which is set aside."""
    if not path.exists():
        return None
    try:
        return {int(place): text for place, text in read_json(path, _of(path))["wrong"].items()}
    except Damaged as why:
        set_aside(path, why, "the images are decoded again")
        return None


def _of(path: Path) -> str:
    return f"scan {path.stem}"
