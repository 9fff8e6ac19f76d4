"""``ltbench verify``: recompute what a record says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import rich_click as click

from ltbench.cli.options import Command, json_option

EPILOG = """
Examples:

  ltbench verify results/glyphs-lt

  ltbench verify results/glyphs-lt/A.json results/glyphs-lt/B.json
"""


@click.command("verify", cls=Command, epilog=EPILOG)
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="RECORD...")
@json_option("Print the findings as JSON.")
def command(records: tuple[Path, ...], as_json: bool) -> None:
    """Recompute everything that a record's numbers follow from: files, or folders with all records in them.

    Accuracies from the bits and counts, the hash of the settings, and the hash of the logits where the record's stages
    are in the cache. Calibration errors need the posterior itself and are not recomputed. Exit code 1 when something
    fails.
    """
    from ltbench.cache import cache_dir
    from ltbench.cli.output import print_json
    from ltbench.errors import LtbenchError
    from ltbench.results.store import record_files
    from ltbench.results.verification import verify

    findings = {path: verify(path, cache_dir()) for path in record_files(*records)}
    failed = [path for path, found in findings.items() if any(finding.state == "failed" for finding in found)]
    if as_json:
        print_json({str(path): [asdict(finding) for finding in found] for path, found in findings.items()})
    else:
        for path, found in findings.items():
            click.echo(str(path))
            for finding in found:
                click.echo(f"  {finding.state:8}{finding.text}")
    if failed:
        raise LtbenchError(f"{len(failed)} of {len(findings)} records failed, the first is {failed[0]}.")
