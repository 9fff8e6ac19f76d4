"""Which image files cannot be read: all are decoded once."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ltbench.cache import cache_dir
from ltbench.canonical import digest
from ltbench.data.base import Watch
from ltbench.data.image_files import BadImage, read_image
from ltbench.files import write_json
from ltbench.threads import one_torch_thread


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


def remembered_scan(files: Sequence[str], label: str, watch: Watch) -> dict[int, str]:
    """As :func:`scan`; files of unchanged size and time are not decoded again."""
    path = cache_dir() / "scans" / f"{digest([_state(file) for file in files])[:32]}.json"
    if path.is_file():
        return {int(position): text for position, text in json.loads(path.read_text(encoding="utf-8")).items()}
    with watch(label, len(files)) as done:
        bad = scan(files, done)
    write_json(path, bad)
    return bad


def _state(file: str) -> tuple[str, int, int]:
    try:
        found = os.stat(file)  # noqa: PTH116 (a Path object for each of a million files costs more than the call)
    except OSError:
        return file, -1, -1
    return file, found.st_size, found.st_mtime_ns
