"""Whether a record can be believed: against itself, against the installed plugins, and against its logits where they are.

The last fits the fuser again, and compares all that follows from it with the record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import ltbench
from ltbench.engine.provenance import git_state
from ltbench.errors import DataError, LtbenchError
from ltbench.results.consistency import contradictions
from ltbench.results.record import Record
from ltbench.results.store import read_record
from ltbench.verification.installed import compare_with_installed
from ltbench.verification.remeasure import LogitsAtHand, compare_with_logits, find_logits

State = Literal["recomputed", "consistent", "failed"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``unknown``: what it needs is not on this machine."""

    state: Literal["ok", "failed", "unknown"]
    text: str


@dataclass(frozen=True)
class Verdict:
    """What became of one record.

    Attributes:
        record: None where the file cannot be read as one.
        state: ``recomputed``: everything that follows from the logits was computed again, and is the same; ``consistent``:
            nothing contradicts it, but its logits are not at hand; ``failed``.
    """

    path: Path
    record: Record | None
    findings: tuple[Finding, ...]
    recomputed: bool

    @property
    def state(self) -> State:
        if any(finding.state == "failed" for finding in self.findings):
            return "failed"
        return "recomputed" if self.recomputed else "consistent"


def verify(path: Path, cache: Path, logits: Path | None = None) -> Verdict:
    """Check a record's file.

    Args:
        cache: where the record's stages are looked for, by their keys.
        logits: a folder of logits in the public format, or one that holds such folders by the records' names.

    Raises:
        DataError: the logits in the folder ``logits`` cannot be used.
    """
    try:
        record = read_record(path)
    except DataError as error:
        return Verdict(path, None, (Finding("failed", str(error).removeprefix(f"{path}: ")),), recomputed=False)
    findings: list[Finding] = []
    for look in (lambda: _alone(path, record), lambda: (Finding(*found) for found in compare_with_installed(record))):
        findings += look()
        if any(finding.state == "failed" for finding in findings):  # the next one relies on what this one found
            return Verdict(path, record, tuple(findings), recomputed=False)
    found = find_logits(record, cache, logits)
    if isinstance(found, str):
        return Verdict(path, record, (*findings, Finding("unknown", found)), recomputed=False)
    again = tuple(_again(record, found))
    return Verdict(path, record, (*findings, *again), recomputed=all(finding.state == "ok" for finding in again))


def _alone(path: Path, record: Record) -> Iterator[Finding]:
    right = sum(record.per_class_correct)
    yield Finding("ok", f"{right} of {record.dataset.test} samples right: bits, counts and accuracies agree")
    if path.name != f"{record.name}.json":
        yield Finding("failed", f"the file should be called {record.name}.json")
    wrong = contradictions(record)
    yield from (Finding("failed", text) for text in wrong)
    if not wrong:
        yield Finding("ok", f"settings {record.config_hash[:8]} agree with all that rests on them")


def _again(record: Record, found: LogitsAtHand) -> Iterator[Finding]:
    try:
        differences = compare_with_logits(record, found)
    except LtbenchError as error:
        yield Finding("failed", f"the fuser cannot be fitted again: {error}")
        return
    yield from (Finding("failed", text) for text in differences)
    if not differences:
        yield Finding("ok", f"recomputed from {found.place}: {', '.join(found.compared)}")
        return
    commit, _ = git_state(Path(ltbench.__file__).parent)
    if (made_at := record.environment.git_commit) != commit:
        then, now = (made_at or "no commit")[:12], (commit or "no commit")[:12]
        yield Finding(
            "unknown", f"the record was made at {then}, this is {now}: changed code of a fuser gives other numbers"
        )
