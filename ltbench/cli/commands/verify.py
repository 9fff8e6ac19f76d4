"""``ltbench verify``: whether records can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.options import Command, json_option

if TYPE_CHECKING:
    from ltbench.verification.verification import Verdict

EPILOG = """
Examples:

  ltbench verify results/glyphs-lt

  ltbench verify results/glyphs-lt/A.json --logits my_logits/

  ltbench verify results/glyphs-lt --strict --write
"""


@click.command("verify", cls=Command, epilog=EPILOG)
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="RECORD...")
@click.option(
    "--logits",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder of the record's logits, or one that holds such folders by the records' names; where it has none, the "
    "cache is asked.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 also for a record whose logits are not at hand.")
@click.option(
    "--write",
    is_flag=True,
    help="Note in verified.json beside the records which were recomputed; the leaderboard marks their rows.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print everything that was looked at.")
@json_option("Print the findings as JSON.")
def command(
    records: tuple[Path, ...], logits: Path | None, strict: bool, write: bool, verbose: bool, as_json: bool
) -> None:
    """Check records: files, or folders with all records in them.

    recomputed: the logits are at hand, in the cache or with --logits; the fuser was fitted again, and the bits, accuracies,
    ECE, NLL and the oracle are what the record says. consistent: nothing contradicts the record, its logits are not here.
    failed: something does; exit code 1.
    """
    from ltbench.cli.output import print_json
    from ltbench.common.cache import cache_dir
    from ltbench.errors import LtbenchError, UsageError
    from ltbench.results.store import no_records, record_files
    from ltbench.verification.verification import verify

    files = list(record_files(*records))
    if not files:
        raise no_records(records[0])
    if logits is not None and (logits / "members.json").is_file() and len(files) > 1:
        raise UsageError(
            f"--logits {logits} holds the logits of one record: give one record, or a folder with one for each name."
        )
    verdicts = []
    for path in files:
        verdicts.append(verify(path, cache_dir(), logits))
        if not as_json:
            _print(verdicts[-1], verbose)
    if as_json:
        print_json({str(verdict.path): _plain(verdict) for verdict in verdicts})
    else:
        click.echo(_summary(verdicts))
    if write:
        _write_marks(verdicts)
    failed = [verdict for verdict in verdicts if verdict.state == "failed"]
    if failed:
        raise LtbenchError(f"{len(failed)} of {len(verdicts)} records failed, the first is {failed[0].path}.")
    if strict and (open_ := [verdict for verdict in verdicts if verdict.state != "recomputed"]):
        raise LtbenchError(
            f"{len(open_)} of {len(verdicts)} records were not recomputed, the first is {open_[0].path}."
        )


def _print(verdict: Verdict, verbose: bool) -> None:
    click.echo(f"{verdict.state:<12}{verdict.path}")
    for finding in verdict.findings:
        if verbose or finding.state == "failed" or (finding.state == "unknown" and verdict.state == "failed"):
            click.echo(f"    {finding.state:<9}{finding.text}")


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {"state": verdict.state, "findings": [asdict(finding) for finding in verdict.findings]}


def _summary(verdicts: Sequence[Verdict]) -> str:
    counts = {state: sum(verdict.state == state for verdict in verdicts) for state in _STATES}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


_STATES = ("recomputed", "consistent", "failed")


def _write_marks(verdicts: Sequence[Verdict]) -> None:
    """``verified.json`` in each folder: the records recomputed now, and earlier marks that still hold."""
    import ltbench
    from ltbench.common.files import write_text
    from ltbench.engine.provenance import git_state, own_version
    from ltbench.results.marks import marks_path, new_mark, to_json, updated
    from ltbench.results.store import load, read_marks

    commit, _ = git_state(Path(ltbench.__file__).parent)
    by = new_mark(own_version(), commit)
    states = {verdict.path: {"recomputed": True, "failed": None}.get(verdict.state, False) for verdict in verdicts}
    for path in dict.fromkeys(marks_path(verdict.path) for verdict in verdicts):
        beside = [(place, record) for place, record in load(path.parent).found if place.parent == path.parent]
        named = {record.name: states[place] for place, record in beside if place in states}
        marks = updated(read_marks(path), [record for _, record in beside], named, by)
        click.echo(f"wrote {write_text(path, to_json(marks))} ({len(marks.recomputed)} recomputed)", err=True)
