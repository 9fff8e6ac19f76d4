"""``verified.json``: which records beside it were recomputed from their logits, and when. No torch.

An entry counts as long as the record has the content that was verified. It says what whoever committed it has done;
``ltbench verify`` does it again where the logits are.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime

from ltbench.common.canonical import digest_of_plain
from ltbench.results.record import Record
from ltbench.results.schema import Line, Part, Sha256

FILE_NAME = "verified.json"


class Mark(Part):
    """That one record was recomputed: ``sha256`` of its content, the time, and the ltbench and commit that did it."""

    sha256: Sha256
    on: AwareDatetime
    ltbench: Line
    git_commit: Line | None


class Marks(Part):
    """The content of the file: name of a record -> its mark."""

    recomputed: dict[Line, Mark]


def content_digest(record: Record) -> str:
    """sha256 (hex) of everything that the record says."""
    return digest_of_plain(record.model_dump(mode="json"))


def updated(
    marks: Mapping[str, Mark], stored: Iterable[Record], verdicts: Mapping[str, bool | None], by: Mark
) -> Marks:
    """The marks after a verification.

    Args:
        marks: before.
        stored: the records that lie beside the file now; marks of others, and of changed ones, are dropped.
        verdicts: record's name -> recomputed; None where it failed; not in it or False where an earlier mark stays.
        by: the new mark, whatever its ``sha256``.
    """
    kept = {}
    for record in stored:
        name, content = record.name, content_digest(record)
        if verdicts.get(name, False):
            kept[name] = by.model_copy(update={"sha256": content})
        elif name in marks and marks[name].sha256 == content and verdicts.get(name, False) is not None:
            kept[name] = marks[name]
    return Marks(recomputed=kept)


def new_mark(version: str, git_commit: str | None) -> Mark:
    """A mark of now, still of no record."""
    return Mark(sha256="0" * 64, on=datetime.now(UTC).replace(microsecond=0), ltbench=version, git_commit=git_commit)


def to_json(marks: Marks) -> str:
    """The text of the file."""
    return json.dumps(marks.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def marks_path(record: Path) -> Path:
    """The file that may hold a mark of the record."""
    return record.with_name(FILE_NAME)
