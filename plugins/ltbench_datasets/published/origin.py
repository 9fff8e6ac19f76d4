"""Where the files of a published benchmark come from: lists that are fetched, images that a user has to get. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ltbench_datasets.published import benchmark
from ltbench_datasets.published.benchmark import Benchmark
from ltbench_datasets.published.facts import known_lists
from ltbench_datasets.published.fetching import fetch_lists
from ltbench_datasets.published.image_location import present_layouts
from ltbench_datasets.published.list_files import fetched_folder, find_list, list_folders


@dataclass(frozen=True)
class PublishedFiles:
    """The :class:`ltbench.plugin.Origin` of a benchmark."""

    benchmark: Benchmark

    @property
    def downloads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(source.download for source in self.benchmark.sources.values()))

    def found(self, root: Path | None) -> tuple[str, str]:
        folders = list_folders(self.benchmark, root, None)
        gone = [file for name, file in self.benchmark.lists.items() if find_list(self.benchmark, name, folders) is None]
        lists = f"missing: {', '.join(gone)}; 'ltbench data fetch {self.benchmark.name}'" if gone else "found"
        if root is None:
            return lists, "not looked for: give --data-root"
        sources = dict.fromkeys(self.benchmark.sources.values())
        places = [next(present_layouts(self.benchmark, source, root), None) for source in sources]
        if None in places:
            missing = [source.download for source, place in zip(sources, places, strict=True) if place is None]
            return lists, f"missing: {'; '.join(missing)}"
        return lists, f"folders found: {', '.join(str(place) for place in places)}"

    def fetch(self, folder: Path | None) -> Iterator[tuple[Path, str]]:
        return fetch_lists(self.benchmark, known_lists(self.benchmark.name), folder or fetched_folder(self.benchmark))


IMAGENET_LT = PublishedFiles(benchmark.IMAGENET_LT)
PLACES_LT = PublishedFiles(benchmark.PLACES_LT)
INATURALIST2018 = PublishedFiles(benchmark.INATURALIST2018)
