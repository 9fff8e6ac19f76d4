"""Which image files cannot be read: all are decoded once."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import simplejpeg

from ltbench.cache import cache_dir
from ltbench.canonical import digest
from ltbench.data.base import Watch
from ltbench.data.contents import Contents
from ltbench.data.image_bytes import MAX_BYTES, MAX_PIXELS, BadImage
from ltbench.data.image_files import read_image
from ltbench.files import write_json
from ltbench.threads import one_torch_thread

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
    found = _remembered(path, len(there))
    if found is None:
        with watch(label, len(there)) as done:
            found = scan([files[position] for position in there], done)
        kept = {str(place): text for place, text in found.items()}
        write_json(path, {"wrong": kept, "sha256": digest(kept)})
    return contents.wrong | {int(there[place]): text for place, text in found.items()}


def _remembered(path: Path, number: int) -> dict[int, str] | None:
    """What an earlier scan of ``number`` files found; None where there is none, or a damaged one (with a line)."""
    if not path.exists():
        return None
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
        if digest(kept["wrong"]) == kept["sha256"] and all(0 <= int(place) < number for place in kept["wrong"]):
            return {int(place): text for place, text in kept["wrong"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    print(f"ltbench: {path} is damaged; decoding the images again.", file=sys.stderr)
    return None
