"""Annotation lists: text files with a ``path label`` on each line, plain or gzipped. No torch."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltbench.errors import DataError

_MAX_DIGITS = 9
"""A longer label is no class id but part of something else."""


@dataclass(frozen=True)
class Annotations:
    """The entries of a list in their order.

    Attributes:
        paths: N paths as they stand in the list.
        labels: int64[N].
        lines: int64[N], line of each entry, from 1.
        malformed: (line, text) of what is no entry; blank lines are passed over.
    """

    paths: list[str]
    labels: np.ndarray
    lines: np.ndarray
    malformed: list[tuple[int, str]]

    def __len__(self) -> int:
        return len(self.paths)


def read_annotations(file: Path) -> Annotations:
    """The entries of ``file``.

    Raises:
        DataError: it cannot be read, has no entry, or has a line that is none (with its number).
    """
    found = parse(read_content(file), file)
    if found.malformed:
        line, text = found.malformed[0]
        raise DataError(f"{file}, line {line}: {malformed_text(text)}")
    if not len(found):
        raise DataError(f"{file} lists no image: each line is to be 'path label', for example 'train/cat/1.jpg 0'.")
    return found


def parse(content: bytes, file: Path) -> Annotations:
    """The entries in the (uncompressed) content of ``file``. A path may hold spaces: the label is the last word of a line.

    Raises:
        DataError: it is not UTF-8 text.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8 ({error.reason} at byte {error.start}).") from error
    paths, labels, lines, malformed = [], [], [], []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.rsplit(maxsplit=1)
        if len(words) == 2 and _is_label(words[1]):
            paths.append(words[0].lstrip())
            labels.append(int(words[1]))
            lines.append(number)
        elif words:
            malformed.append((number, line))
    return Annotations(paths, np.asarray(labels, dtype=np.int64), np.asarray(lines, dtype=np.int64), malformed)


def malformed_text(line: str) -> str:
    """What is wrong with a line that is no entry."""
    shown = line if len(line) <= 80 else f"{line[:77]}..."
    return f"expected 'path label' with a label from 0 up, found {shown!r}."


def read_content(file: Path) -> bytes:
    """The file's content, uncompressed where its name ends in ``.gz``. Raises DataError when it cannot be read."""
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{file} is no whole gzip file: {error}.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error


def sha256(content: bytes) -> str:
    """Hex digest of the content."""
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    """The id that git gives a file of this content: sha1 of a header with its length, and the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _is_label(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS
