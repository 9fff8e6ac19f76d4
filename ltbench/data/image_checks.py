"""Whether the images of a dataset are all there and can be decoded."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ltbench.data.base import SPLITS, Watch
from ltbench.data.benchmarks import ListDataset
from ltbench.data.file_dataset import FileDataset
from ltbench.data.image_location import locate, missing_files
from ltbench.errors import DataError


@dataclass(frozen=True)
class ImagesReport:
    """What was found about the images of one list or split.

    Attributes:
        name: of the list, or of the split where the dataset has no published lists.
        images: how many there should be.
        missing: files that are not there.
        layout: folder of a category's images below the root; empty when the tree has none of the known ones, or the dataset
            knows none.
        download: what the images come from; empty where that is unknown.
        unreadable: file -> what is wrong with it; None: images were not decoded.
    """

    name: str
    images: int
    missing: list[str]
    present: list[str] = field(repr=False)
    layout: str = ""
    download: str = ""
    unreadable: dict[str, str] | None = None

    @property
    def ok(self) -> bool:
        return not self.missing and not self.unreadable

    def to_json(self) -> dict[str, Any]:
        """The report in types that JSON has, without the files that are present."""
        return {name: value for name, value in asdict(self).items() if name != "present"}


def find_images(dataset: FileDataset) -> list[ImagesReport]:
    """Which images are there, for each published list, or each split of a dataset without.

    Raises:
        DataError: the annotations are missing or wrong, or there is no data root.
    """
    if not isinstance(dataset, ListDataset):
        return [_report(name, dataset.image_list(name).files) for name in SPLITS]
    if dataset.root is None:
        raise DataError(f"{dataset.name} needs the folder of its images: --data-root DIR.")
    reports = []
    for name, source in dataset.benchmark.sources.items():
        images, _ = dataset.listed(name)
        found = locate(dataset.benchmark, source, dataset.root, images)
        reports.append(_report(name, found.files, found.layout, source.download, found.missing))
    return reports


def decode_images(reports: Iterable[ImagesReport], watch: Watch) -> list[ImagesReport]:
    """The reports, with what is wrong with those images that are there but cannot be decoded."""
    from ltbench.data import scan

    decoded = []
    for report in reports:
        with watch(f"decoding {report.name} images", len(report.present)) as done:
            bad = scan.scan(report.present, done)
        unreadable = {report.present[position]: bad[position] for position in sorted(bad)}
        decoded.append(ImagesReport(**{**vars(report), "unreadable": unreadable}))
    return decoded


def _report(
    name: str, files: Sequence[str], layout: str = "", download: str = "", missing: np.ndarray | None = None
) -> ImagesReport:
    gone = missing_files(files) if missing is None else missing
    present = np.setdiff1d(np.arange(len(files)), gone)
    return ImagesReport(
        name,
        len(files),
        [files[position] for position in gone],
        [files[position] for position in present],
        layout,
        download,
    )
