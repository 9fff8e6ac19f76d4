"""``ltbench data pack``: decode and resize every image once, into one file for each split."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ltbench.cli.commands.data.opening import dataset_set_option, open_dataset
from ltbench.cli.options import BAD_IMAGE, Command, data_root_option, json_option

EPILOG = """
Examples:

  ltbench data pack places-lt --data-root /data/places

  ltbench data pack places-lt --data-root /data/places --set short_side=160 --in-cache

  ltbench run --dataset places-lt --data-root /data/places --set dataset.options.storage=packed --method baseline
"""


@click.command("pack", cls=Command, epilog=EPILOG)
@click.argument("name")
@data_root_option
@dataset_set_option
@click.option("--in-cache", is_flag=True, help="Write into the cache folder instead of 'packed' below the data root.")
@click.option(
    "--on-bad-image",
    type=BAD_IMAGE,
    default="error",
    show_default=True,
    help="A missing or unreadable image: name it and fail after the others are packed, or leave it out. A run from the "
    "packed copy needs the same setting.",
)
@click.option("--verify", is_flag=True, expose_value=False, hidden=True, help="What is always done.")
@json_option("Print what was written as JSON.")
def command(
    name: str,
    data_root: Path | None,
    overrides: tuple[str, ...],
    in_cache: bool,
    on_bad_image: str,
    as_json: bool,
) -> None:
    """Pack a dataset: each image is decoded once, its short side reduced to 256 pixels (short_side), and kept as raw pixels.

    A run from the packed copy needs no decoding: it reads a memory-mapped file and cuts. Results differ slightly from those
    of the original files; the record says which were used. An interrupted packing goes on where it stopped, a finished one
    is read back and compared before it counts, and a byte that changes later is found when its image is read. A copy that
    is there is read and compared, too; one that is damaged or of other files is set aside and packed again.
    """
    from ltbench.cli.output import print_json
    from ltbench.data.base import SPLITS
    from ltbench.data.images.file_dataset import FileDataset
    from ltbench.data.images.packed import in_words, pack, space_needed
    from ltbench.engine.machine.progress import Reporter
    from ltbench.errors import UsageError

    dataset = open_dataset(name, data_root, overrides, on_bad_image=on_bad_image)
    if not isinstance(dataset, FileDataset):
        raise UsageError(f"{name} is not made of image files: there is nothing to pack.")
    reporter = Reporter(quiet=as_json)
    dataset.progress = reporter.steps
    done = []
    for split in SPLITS:
        images, folder = dataset.lists[split], dataset.cache_folder if in_cache else None
        path = dataset.pack_file(split, folder)
        before = path.stat().st_ino if path.is_file() else None
        if before is None:
            reporter.line(space_needed(images, path, dataset.pack_settings))
        with reporter.steps(f"packing {split}", len(images)) as step:
            pack(images, path, dataset.pack_settings, step, dataset.contents[split])
        outcome = "was there, verified" if path.stat().st_ino == before else "packed and verified"
        done.append({"split": split, "file": str(path), "images": len(images), "bytes": path.stat().st_size})
        done[-1] |= {"outcome": outcome, "skipped": dataset.skipped.get(split, [])}
        if not as_json:
            left_out = f", {len(dataset.bad[split]):,} left out" if dataset.bad[split] else ""
            click.echo(
                f"{split}: {outcome}: {len(images):,} images{left_out}, {in_words(path.stat().st_size)} in {path}"
            )
    if as_json:
        print_json(done)
