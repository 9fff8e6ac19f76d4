"""``ltbench data stats``: how long the tail is (Table 1 and Figure 2 of the paper, for any dataset)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ltbench.cli.commands.data.opening import ask, dataset_set_option, open_dataset
from ltbench.cli.options import Command, data_root_option, json_option

if TYPE_CHECKING:
    import numpy as np

    from ltbench.data.folds import FoldRule

EPILOG = """
Examples:

  ltbench data stats glyphs-lt

  ltbench data stats places-lt --folds kang --figure places.png
"""


@click.command("stats", cls=Command, epilog=EPILOG)
@click.argument("name")
@data_root_option
@dataset_set_option
@click.option(
    "--folds", default="paper", show_default=True, metavar="RULE", help="Which classes are many-, medium- and few-shot."
)
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw the images of each class, most frequent first, as PNG and PDF.",
)
@json_option("Print the figures as JSON, with the images of every class.")
def command(
    name: str, data_root: Path | None, overrides: tuple[str, ...], folds: str, figure: Path | None, as_json: bool
) -> None:
    """Count a dataset: classes and training images in each fold, the most and the least frequent class.

    Benchmarks with published lists need only the lists; without them the published counts are shown. Other datasets are
    opened.
    """
    from ltbench.cli.output import print_json
    from ltbench.data.folds import fold_rule

    rule = fold_rule(folds)
    dataset = open_dataset(name, data_root, overrides)
    with ask(dataset, "counts"):
        counts, source = dataset.counts()
    about = describe(name, counts, source, rule)
    if as_json:
        print_json(about)
    else:
        print_description(about, rule)
    if figure is not None:
        from ltbench.report.figures import class_counts_figure, save_figure

        drawn = class_counts_figure(counts["train"].tolist(), rule.assign(counts["train"]).tolist())
        for file in save_figure(drawn, figure):
            click.echo(f"wrote {file}", err=as_json)


def describe(name: str, counts: dict[str, np.ndarray], source: str, rule: FoldRule) -> dict[str, Any]:
    """The figures in types that JSON has."""
    train = counts["train"]
    folds = {fold: {"classes": len(ids), "images": int(train[ids].sum())} for fold, ids in rule.members(train).items()}
    return {
        "dataset": name,
        "fold_rule": rule.name,
        "counted_in": source,
        "folds": {**folds, "all": {"classes": len(train), "images": int(train.sum())}},
        "most": int(train.max()),
        "least": int(train.min()),
        "images": {split: int(of_split.sum()) for split, of_split in counts.items()},
        "train_counts": train.tolist(),
    }


def print_description(about: dict[str, Any], rule: FoldRule) -> None:
    """The figures as a table."""
    from ltbench.cli.output import console, table

    rows: list[Sequence[str]] = [
        (fold.capitalize(), f"{found['classes']:,}", f"{found['images']:,}") for fold, found in about["folds"].items()
    ]
    screen = console()
    screen.print(table(("fold", "classes", "training images"), rows, title=about["dataset"]))
    screen.print(f"folds: {rule.name}, {rule.text}", soft_wrap=True)
    factor = f" ({about['most'] / about['least']:,.0f} times fewer)" if about["least"] else ""
    screen.print(f"most frequent class: {about['most']:,} images, rarest: {about['least']:,}{factor}")
    screen.print("; ".join(f"{split}: {images:,} images" for split, images in about["images"].items()))
    screen.print(f"counted in: {about['counted_in']}", soft_wrap=True)
