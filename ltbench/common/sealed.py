"""What is kept carries its own sha256 and says what it is; both are checked when it is read. No torch.

Every byte of a sealed JSON file counts. It is a plain JSON object whose first line is ``{"sha256": "...",``; the hash is of
everything after that line. :mod:`ltbench.common.sealed_tensors` does the same for tensors.

Who reads decides what becomes of a damaged file: what can be made again is set aside (:func:`set_aside`) and made again,
otherwise :class:`Damaged` ends the command.
"""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from ltbench.common.files import unreadable, unwritable, write_text
from ltbench.errors import DataError

_SEAL = re.compile(rb'\{"sha256": "(.{64})",(?=\n)')
OF = "of"
"""Key under which a file says what it is."""

CHANGED = "is damaged: cut short or changed since it was written"
UNSEALED = "is damaged: it carries no checksum, or is of an earlier version"


class Damaged(DataError):
    """A file is not what was written there.

    Attributes:
        path: the file.
        what: what is wrong, to be read after its name.
    """

    def __init__(self, path: Path, what: str, advice: str = "Make it again or take a copy that is whole.") -> None:
        super().__init__(f"{path} {what}. {advice}")
        self.path, self.what = path, what


def tell(text: str) -> None:
    """A line on stderr about the cache: never left out, for damage must not pass in silence."""
    print(f"ltbench: {text}", file=sys.stderr)


def set_aside(path: Path, why: Damaged, then: str = "it is made again") -> None:
    """Rename a file or folder to ``<name>.damaged`` and say so in one line; what is not there needs no renaming.

    Raises:
        DataError: it cannot be renamed.
    """
    names = (f"{path.name}.damaged{number if number > 1 else ''}" for number in count(1))
    target = next(place for name in names if not (place := path.with_name(name)).exists())
    try:
        path.rename(target)
    except FileNotFoundError:
        tell(f"{why.path} {why.what}; {then}.")
    except OSError as error:
        raise unwritable(target, error, f"{why.path} {why.what}: delete {path}.") from error
    else:
        tell(f"{why.path} {why.what}; set aside as {target.name}, {then}.")


def seal(text: str) -> str:
    """The text of a JSON object, ``{`` and a line break first, with the seal as its first key."""
    rest = text.removeprefix("{")
    return f'{{"sha256": "{hashlib.sha256(rest.encode()).hexdigest()}",{rest}'


def read_text(path: Path, *, must: bool) -> str:
    """The text of a JSON object without its seal.

    Args:
        must: a file without a seal counts as damaged. It may be anybody's where False.

    Raises:
        Damaged: it is missing or empty, or its bytes are not what was sealed.
        DataError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Damaged(path, "is missing") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not content:
        raise Damaged(path, "is damaged: empty")
    head = _SEAL.match(content)
    if head is None:
        if must:
            raise Damaged(path, CHANGED if b'"sha256"' in content[:100] else UNSEALED)
        return _decoded(content, path)
    rest = content[head.end() :]
    if hashlib.sha256(rest).hexdigest().encode() != head[1]:
        raise Damaged(path, CHANGED)
    return _decoded(b"{" + rest, path)


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not JSON: it is not UTF-8 text.") from error


def write_json(path: Path, content: Mapping[str, Any], of: str, *, durable: bool = True) -> None:
    """A sealed JSON object. ``durable``: see :func:`ltbench.common.files.written_beside`, which says what is raised, too."""
    text = json.dumps({**content, OF: of}, indent=1, sort_keys=True) + "\n"
    write_text(path, seal(text), durable=durable)


def read_json(path: Path, of: str) -> dict[str, Any]:
    """What :func:`write_json` wrote. Raises as :func:`read_text`, and Damaged for a whole file that belongs elsewhere."""
    content: dict[str, Any] = json.loads(read_text(path, must=True))
    check_of(path, content.pop(OF, None), of)
    return content


def check_of(path: Path, found: str | None, wanted: str) -> None:
    """Raises Damaged for a file that is whole but belongs elsewhere."""
    if found != wanted:
        raise Damaged(path, f"is damaged: it belongs elsewhere, being '{found}', not '{wanted}'")
