"""What happens to a file on a disk: kind -> (file, position) -> None."""

from collections.abc import Callable
from pathlib import Path


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def _truncate(path: Path, position: int) -> None:
    path.write_bytes(path.read_bytes()[: -max(1, path.stat().st_size // 3)])


def _empty(path: Path, position: int) -> None:
    path.write_bytes(b"")


def _delete(path: Path, position: int) -> None:
    path.unlink()


def _grow(path: Path, position: int) -> None:
    path.write_bytes(path.read_bytes() + b"more")


SPOIL: dict[str, Callable[[Path, int], None]] = {
    "flip": _flip,
    "truncate": _truncate,
    "empty": _empty,
    "delete": _delete,
    "grow": _grow,
}
