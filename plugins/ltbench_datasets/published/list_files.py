"""Where the annotation lists of a benchmark lie. No torch."""

from collections.abc import Sequence
from pathlib import Path

from ltbench.common.cache import cache_dir
from ltbench.errors import DataError
from ltbench_datasets.published.benchmark import Benchmark


def fetched_folder(benchmark: Benchmark) -> Path:
    """Where ``ltbench data fetch`` puts the lists. Raises DataError when there is no usable cache folder."""
    return cache_dir() / "lists" / benchmark.name


def list_folders(benchmark: Benchmark, root: Path | None, lists: Path | None) -> list[Path]:
    """The folders to look for lists in, in this order.

    Args:
        root: the data root, where one is given.
        lists: the folder that the user named; then no other is looked into.
    """
    if lists is not None:
        return [lists]
    below = [] if root is None else [root / part for part in ("", "lists", benchmark.list_folder)]
    return [*below, fetched_folder(benchmark)]


def find_list(benchmark: Benchmark, name: str, folders: Sequence[Path]) -> Path | None:
    """The file of list ``name``, plain or gzipped, in the first folder that has it."""
    file = benchmark.lists[name]
    places = (folder / f"{file}{suffix}" for folder in folders for suffix in ("", ".gz"))
    return next((place for place in places if place.is_file()), None)


def require_list(benchmark: Benchmark, name: str, folders: Sequence[Path]) -> Path:
    """As :func:`find_list`. Raises DataError that says where it was looked for, and how to get it."""
    found = find_list(benchmark, name, folders)
    if found is None:
        searched = ", ".join(str(folder) for folder in folders)
        raise DataError(
            f"{benchmark.name}: the annotation list {benchmark.lists[name]} (or .gz) is in none of {searched}. "
            f"'ltbench data fetch {benchmark.name}' downloads the lists; --set dataset.options.lists=DIR names another folder."
        )
    return found
