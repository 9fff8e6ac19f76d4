"""``ltbench compare``: the paired difference between two rows or records."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from ltbench.report.comparison import Comparison

EPILOG = """
Examples:

  ltbench compare experts/joint baseline

  ltbench compare experts/joint baseline/joint --folds kang

  ltbench compare results/glyphs-lt/A.json results/glyphs-lt/B.json
"""


@click.command("compare", epilog=EPILOG)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of records; LTBENCH_RESULTS, ./results or the cache by default.",
)
@click.option("-d", "--dataset", metavar="NAME", help="Only records of this dataset.")
@click.option("--folds", metavar="RULE", help="Measure under this fold rule: paper, kang or oltr. By default A's own.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(a: str, b: str, results: Path | None, dataset: str | None, folds: str | None, as_json: bool) -> None:
    """Is A better than B on the same test samples?

    A and B are record files, names of records, or rows METHODS[/FUSER[/CONFIG]]; of a row all seeds count that both
    have. Intervals are 95 % intervals of a class-stratified paired bootstrap; p values are not corrected for several
    comparisons.
    """
    from ltbench.report.comparison import compare_rows
    from ltbench.report.leaderboard import newest
    from ltbench.results.lookup import choose
    from ltbench.results.store import default_results_root, load

    both_files = Path(a).is_file() and Path(b).is_file()
    stored = [] if both_files else load(default_results_root(results))
    records = newest(record for record in stored if dataset in (None, record.dataset.name))
    compared = compare_rows(choose(a, records), choose(b, records), folds)
    if as_json:
        click.echo(json.dumps(asdict(compared)))
    else:
        _print(compared)


def _print(compared: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    from ltbench.report.table import interval, p_value

    console = Console()
    seeds = ", ".join(map(str, compared.seeds))
    table = Table(
        title=f"A = {compared.a}   B = {compared.b}   ({compared.dataset}, folds '{compared.fold_rule}', seed {seeds})",
        title_justify="left",
    )
    for column in ("", "A", "B", "A - B [95 %]", "p"):
        table.add_column(column, justify="right" if column in ("A", "B", "p") else "left")
    for fold, delta in compared.differences.items():
        table.add_row(
            fold.capitalize(),
            f"{compared.accuracy_a[fold]:.1f}",
            f"{compared.accuracy_b[fold]:.1f}",
            interval(delta.estimate, delta.low, delta.high),
            p_value(delta.p),
        )
    console.print(table)
    for seed, test in compared.mcnemar.items():
        text = f"seed {seed}: only A right {test.only_a}, only B right {test.only_b}; exact McNemar p = {test.p:.2g}"
        console.print(text, highlight=False)
    for note in compared.notes:
        console.print(f"note: {note}", highlight=False)
