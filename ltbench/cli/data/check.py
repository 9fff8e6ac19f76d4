"""``ltbench data check``: whether the lists are the published ones, and the images are there and can be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ltbench.cli.data.opening import dataset_set_option, open_dataset, open_split
from ltbench.cli.options import Command, data_root_option, json_option

if TYPE_CHECKING:
    from ltbench.data.base import Dataset
    from ltbench.data.benchmarks import ListDataset
    from ltbench.data.image_checks import ImagesReport
    from ltbench.data.inspection import ListReport

EPILOG = """
Examples:

  ltbench data check places-lt --data-root /data/places

  ltbench data check imagenet-lt --data-root /data/imagenet --set lists=/data/lists --no-decode

  ltbench data check folder --data-root photos --json
"""

SHOWN = 5
"""Images that are named of those that are missing or cannot be decoded; --json names all."""


@click.command("check", cls=Command, epilog=EPILOG)
@click.argument("name")
@data_root_option
@dataset_set_option
@click.option("--no-decode", is_flag=True, help="Look whether the images are there, but do not read them.")
@json_option("Print everything that was found as JSON.")
def command(name: str, data_root: Path | None, overrides: tuple[str, ...], no_decode: bool, as_json: bool) -> None:
    """Check a dataset: its lists, whether every image is there, and whether it can be decoded.

    A list is compared with the published ones by its hash; any published spelling of the paths serves any layout of the
    images. One that equals none of them is searched for what differs: lines, labels, images of each class, and line by line
    where a published copy was fetched or lies beside it. Exit code 4 when something is wrong.
    """
    from ltbench.cli.output import print_json
    from ltbench.data.benchmarks import ListDataset
    from ltbench.data.file_dataset import FileDataset
    from ltbench.data.image_checks import decode_images, find_images
    from ltbench.engine.progress import Reporter
    from ltbench.errors import DataError

    dataset = open_dataset(name, data_root, overrides, on_bad_image="skip")
    lists: Sequence[ListReport] = ()
    images: Sequence[ImagesReport] = ()
    opened: dict[str, int] = {}
    if isinstance(dataset, ListDataset):
        lists = inspect_lists(dataset)
    broken = sum(bool(report.problems) for report in lists)
    if isinstance(dataset, FileDataset):
        try:
            images = find_images(dataset)
        except DataError:
            if not broken:  # else what is wrong with the lists stands in their reports already
                raise
        if images and not no_decode:
            images = decode_images(images, Reporter(quiet=as_json).steps)
    else:
        opened = open_splits(dataset)
    bad = sum(len(report.missing) + len(report.unreadable or ()) for report in images)
    if as_json:
        shown = {"lists": [report.to_json() for report in lists], "images": [report.to_json() for report in images]}
        print_json({"dataset": name, "ok": not (broken or bad), **shown, "opened": opened})
    else:
        for line in [*list_lines(lists), *image_lines(images, no_decode), *opened_lines(name, opened)]:
            click.echo(line)
    if broken:
        unseen = "" if images else "; the images could not be looked at"
        raise DataError(f"{name}: {broken} of {len(lists)} lists are wrong{unseen}.")
    if bad:
        raise DataError(
            f"{name}: {bad:,} of {sum(report.images for report in images):,} images are missing or unreadable."
        )


def inspect_lists(dataset: ListDataset) -> list[ListReport]:
    """A report for each list. Raises DataError when one is missing or cannot be read."""
    from ltbench.data.annotations import parse, read_content
    from ltbench.data.image_names import class_names, image_names
    from ltbench.data.inspection import inspect_list
    from ltbench.data.list_files import fetched_folder, list_folders, require_list

    benchmark = dataset.benchmark
    folders = list_folders(benchmark, dataset.root, dataset.options.lists)
    files = {name: require_list(benchmark, name, folders) for name in benchmark.lists}
    train = parse(read_content(files["train"]), files["train"])
    names = class_names(image_names(benchmark, train), train.labels)
    return [
        inspect_list(benchmark, name, file, [file.parent, fetched_folder(benchmark)], names)
        for name, file in files.items()
    ]


def open_splits(dataset: Dataset) -> dict[str, int]:
    """Split -> number of images, for a dataset that is not made of image files. Raises DataError when it cannot be opened."""
    from ltbench.data.base import SPLITS

    return {name: len(open_split(dataset, name)) for name in SPLITS}


def list_lines(reports: Sequence[ListReport]) -> list[str]:
    """What was found about the lists."""
    lines = []
    for report in reports:
        state = "wrong" if report.problems else "ok"
        known = f"published variant {report.variant}" if report.variant else "no published variant"
        if not report.variant and not report.problems:
            known += ", but of the published number of images in each class"
        lines.append(f"{report.name:6}list    {state:8}{report.images:,} images, {known}: {report.file}")
        for problem in report.problems:
            lines.append(f"{'':14}{problem.kind} ({problem.count:,}):")
            lines += [f"{'':16}{example}" for example in problem.examples]
            if problem.count > len(problem.examples):
                lines.append(f"{'':16}...")
        if report.reference is not None:
            lines.append(f"{'':14}compared line by line with {report.reference}")
    return lines


def image_lines(reports: Sequence[ImagesReport], no_decode: bool) -> list[str]:
    """What was found about the images."""
    lines = []
    for report in reports:
        there = f"{report.images - len(report.missing):,} of {report.images:,} there"
        where = f" in {report.layout}" if report.layout else ""
        read = "not decoded" if no_decode else f"{len(report.unreadable or ()):,} unreadable"
        lines.append(f"{report.name:6}images  {'ok' if report.ok else 'wrong':8}{there}{where}, {read}")
        lines += _first([f"missing: {file}" for file in report.missing])
        lines += _first([f"unreadable: {file}: {why}" for file, why in (report.unreadable or {}).items()])
        if not report.ok and report.download:
            lines.append(f"{'':14}they come from {report.download}")
    return lines


def opened_lines(name: str, splits: dict[str, int]) -> list[str]:
    """What a dataset without image files has."""
    if not splits:
        return []
    sizes = ", ".join(f"{split} {size:,}" for split, size in splits.items())
    return [f"{name} is not made of image files; it could be opened: {sizes} images"]


def _first(lines: Sequence[str]) -> list[str]:
    rest = [f"{'':14}... ({len(lines):,} in all)"] if len(lines) > SHOWN else []
    return [f"{'':14}{line}" for line in lines[:SHOWN]] + rest
