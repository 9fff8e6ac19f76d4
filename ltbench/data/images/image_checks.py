"""Whether the images of a dataset of image files are all there and can be decoded, and how that is told."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ltbench.data.base import Watch
from ltbench.data.checks import CheckReport
from ltbench.data.images import scan
from ltbench.data.images.image_list import missing_files

__all__ = ["ImagesReport", "images_report"]

SHOWN = 5
"""Images that are named of those that are missing or cannot be decoded; the report as JSON names all."""


@dataclass(frozen=True)
class ImagesReport:
    """What was found about the images of one list or split.

    Attributes:
        name: of the list, or of the split where the dataset has no published lists.
        images: how many there should be.
        missing: files that are not there.
        present: the others.
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
        """Nothing is missing or unreadable."""
        return not self.missing and not self.unreadable

    def to_json(self) -> dict[str, Any]:
        """The report in types that JSON has, without the files that are present."""
        return {name: value for name, value in asdict(self).items() if name != "present"}


def check_images(reports: Sequence[ImagesReport], decode: bool, watch: Watch) -> CheckReport:
    """What was found about the images that ``reports`` looked for; with ``decode`` those that are there are read, too."""
    if decode:
        reports = decode_images(reports, watch)
    bad = sum(len(report.missing) + len(report.unreadable or ()) for report in reports)
    images = sum(report.images for report in reports)
    return CheckReport(
        [line for report in reports for line in _lines(report)],
        {"images": [report.to_json() for report in reports]},
        f"{bad:,} of {images:,} images are missing or unreadable" if bad else "",
    )


def decode_images(reports: Iterable[ImagesReport], watch: Watch) -> list[ImagesReport]:
    """The reports, with what is wrong with those images that are there but cannot be decoded."""
    decoded = []
    for report in reports:
        with watch(f"decoding {report.name} images", len(report.present)) as done:
            bad = scan.scan(report.present, done)
        unreadable = {report.present[position]: bad[position] for position in sorted(bad)}
        decoded.append(ImagesReport(**{**vars(report), "unreadable": unreadable}))
    return decoded


def images_report(
    name: str, files: Sequence[str], layout: str = "", download: str = "", missing: np.ndarray | None = None
) -> ImagesReport:
    """Which of the files of a list are there; ``missing``: int64[M], positions, where that is known already."""
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


def _lines(report: ImagesReport) -> list[str]:
    there = f"{report.images - len(report.missing):,} of {report.images:,} there"
    where = f" in {report.layout}" if report.layout else ""
    read = "not decoded" if report.unreadable is None else f"{len(report.unreadable):,} unreadable"
    unreadable = [f"unreadable: {file}: {why}" for file, why in (report.unreadable or {}).items()]
    lines = [f"{report.name:6}images  {'ok' if report.ok else 'wrong':8}{there}{where}, {read}"]
    lines += [*_first([f"missing: {file}" for file in report.missing]), *_first(unreadable)]
    if not report.ok and report.download:
        lines.append(f"{'':14}they come from {report.download}")
    return lines


def _first(lines: Sequence[str]) -> list[str]:
    rest = [f"{'':14}... ({len(lines):,} in all)"] if len(lines) > SHOWN else []
    return [f"{'':14}{line}" for line in lines[:SHOWN]] + rest
