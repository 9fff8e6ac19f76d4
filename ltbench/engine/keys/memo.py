"""What sources say, kept in the cache by their sha256, so that a command need not parse them again."""

import sys
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from ltbench.common.sealed import Damaged, read_json, set_aside, write_json
from ltbench.engine.keys import syntax
from ltbench.engine.keys.syntax import Syntax, read_syntax

MOST = 2000
"""Sources that are kept; those that were read first go first."""

_OF = "what sources say"


class Memo:
    """Reads sources by :func:`ltbench.engine.keys.syntax.read_syntax`, each once.

    Args:
        folder: where they are kept, in a file of this version of Python and of the reading itself.
    """

    def __init__(self, folder: Path) -> None:
        reading = sha256(Path(syntax.__file__).read_bytes() + sys.version.encode()).hexdigest()
        self.path = folder / f"syntax-{reading[:16]}.json"
        self._kept = self._read()
        self._new = False

    def syntax(self, source: bytes) -> Syntax:
        """What a source says. Raises as :func:`ltbench.engine.keys.syntax.read_syntax`."""
        key = sha256(source).hexdigest()
        if key not in self._kept:
            self._kept[key] = asdict(read_syntax(source))
            self._new = True
        kept = self._kept[key]
        return Syntax(kept["digest"], tuple(kept["names"]), kept["typed"], tuple(kept["texts"]))

    def save(self) -> None:
        """Write down what is new. Raises DataError when the place cannot be written."""
        if self._new:
            write_json(self.path, {"sources": [*self._kept.items()][-MOST:]}, _OF, durable=False)
            self._new = False

    def _read(self) -> dict[str, dict[str, Any]]:
        """What was kept; a damaged file is set aside."""
        if self.path.exists():
            try:
                return dict(read_json(self.path, _OF)["sources"])
            except Damaged as why:
                set_aside(self.path, why)
        return {}
