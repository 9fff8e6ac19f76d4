"""``ltbench compare``: the paired difference between two rows or records."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ltbench.cli.options import Command, json_option, records_option

if TYPE_CHECKING:
    from ltbench.report.comparison import Comparison

EPILOG = """
Examples:

  ltbench compare experts/joint baseline

  ltbench compare experts/joint baseline/joint --folds kang

  ltbench compare results/glyphs-lt/A.json results/glyphs-lt/B.json
"""


@click.command("compare", cls=Command, epilog=EPILOG)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@records_option
@click.option("-d", "--dataset", metavar="NAME", help="Only records of this dataset.")
@click.option("--folds", metavar="RULE", help="Measure under this fold rule: paper, kang or oltr. By default A's own.")
@json_option()
def command(a: str, b: str, results: Path | None, dataset: str | None, folds: str | None, as_json: bool) -> None:
    """Is A better than B on the same test samples?

    A and B are record files, names of records, or rows METHODS[/FUSER[/CONFIG]]; of a row all seeds count that both
    have. Intervals are 95 % intervals of a class-stratified paired bootstrap; p values are not corrected for several
    comparisons.
    """
    from ltbench.cli.output import print_json
    from ltbench.report.comparison import compare_rows
    from ltbench.report.leaderboard import newest
    from ltbench.results.lookup import choose
    from ltbench.results.store import Stored, default_results_root, load

    both_files = Path(a).is_file() and Path(b).is_file()
    stored = Stored([], []) if both_files else load(default_results_root(results))
    if stored.left_out:
        click.echo(f"note: {stored.note()}", err=True)
    records = newest(record for record in stored.records if dataset in (None, record.dataset.name))
    compared = compare_rows(choose(a, records), choose(b, records), folds)
    if as_json:
        print_json(asdict(compared))
    else:
        _print(compared)


def _print(compared: Comparison) -> None:
    from ltbench.cli.output import console, table
    from ltbench.report.table import interval, p_value

    out = console()
    out.print(f"A = {compared.a}\nB = {compared.b}")
    rows = [
        (
            fold.capitalize(),
            f"{compared.accuracy_a[fold]:.1f}",
            f"{compared.accuracy_b[fold]:.1f}",
            interval(delta.estimate, delta.low, delta.high),
            p_value(delta.p),
        )
        for fold, delta in compared.differences.items()
    ]
    title = f"{compared.dataset}, folds '{compared.fold_rule}', seed {', '.join(map(str, compared.seeds))}"
    out.print(table(("", "A", "B", "A - B [95 %]", "p"), rows, title))
    for seed, test in compared.mcnemar.items():
        out.print(
            f"seed {seed}: only A right {test.only_a}, only B right {test.only_b}; exact McNemar p = {test.p:.2g}"
        )
    for note in compared.notes:
        out.print(f"note: {note}")
