"""A finished run's cache, ways to damage its files, and what a command then makes of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny import TINY, TINY_EXPERTS, Outcome, lasting

RUN = ["run", "--method", "baseline", "--fuser", "joint", *TINY, "--json"]
EXPERTS = ["run", "--method", "experts", "--fuser", "soft", *TINY_EXPERTS, "--json"]


def flip(path: Path, position: int | None = None, mask: int = 0x10) -> None:
    """Change one byte, in the middle by default."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= mask
    path.write_bytes(content)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flip": flip,
    "flip in the head": lambda path: flip(path, 14),
    "truncate": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "delete": Path.unlink,
    "grow": grow,
}

SAYS = {"empty": "is damaged: empty", "delete": "is missing"}
"""What is said of a file, where that is always the same."""


def before(cache: Path) -> list[dict[str, Any]]:
    """The numbers of the run that made this cache."""
    return numbers(Outcome(0, (cache / "answer.json").read_text(), ""))


def numbers(done: Outcome) -> list[dict[str, Any]]:
    """All that a run measured, by its ``--json``."""
    assert done.code == 0, done.err
    return [lasting(record) for record in json.loads(done.out)["records"]]


def remove(cache: Path, *patterns: str) -> None:
    """Delete what matches: what lies above it in the chain is then read again."""
    for pattern in patterns:
        for place in sorted(cache.glob(pattern)):
            shutil.rmtree(place) if place.is_dir() else place.unlink()


def only(cache: Path, pattern: str) -> Path:
    """The first file or folder that matches."""
    return next(place for place in sorted(cache.glob(pattern)) if not place.name.startswith("."))
