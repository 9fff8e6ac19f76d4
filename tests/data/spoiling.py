"""What happens to a file on a disk: kind -> (file, position of a flipped byte) -> None."""

from collections.abc import Callable
from pathlib import Path

from integrity.damage import DAMAGES, flip


def _anywhere(kind: str) -> Callable[[Path, int], None]:
    return lambda path, position: DAMAGES[kind](path)


SPOIL = {kind: _anywhere(kind) for kind in ("truncate", "empty", "delete", "grow")} | {"flip": flip}
