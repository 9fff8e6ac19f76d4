"""Published figures of the shipped benchmarks: images per class, and the annotation lists in circulation. No torch.

``<dataset>.json`` holds ``source``, ``train`` (images of each class, by label) and ``val`` and ``test`` (images of every
class); ``lists.csv`` a row for each variant of each list. A list and its variants differ only in how paths are spelt.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np


@dataclass(frozen=True)
class KnownList:
    """One variant of an annotation list as it is published.

    Attributes:
        dataset: name of the benchmark.
        split: ``train``, ``val`` or ``test``, as the list is named.
        variant: what sets this variant apart: how it spells the paths.
        sha256: of the content, hex; empty where only the blob id is known.
        git_blob: sha1 that git gives the content, hex.
        lines: images in it.
        found_in: public repositories that hold it.
        urls: where it can be downloaded, to be tried in this order; empty where no address is known for certain.
    """

    dataset: str
    split: str
    variant: str
    sha256: str
    git_blob: str
    lines: int
    found_in: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class KnownCounts:
    """Images of each class in the published lists.

    Attributes:
        source: where the figures come from.
        by_split: split -> int64[C].
    """

    source: str
    by_split: dict[str, np.ndarray]


@cache
def known_lists(dataset: str) -> Sequence[KnownList]:
    """The variants of all lists of a benchmark, the one to fetch first."""
    text = (files(__package__) / "lists.csv").read_text(encoding="utf-8")
    found = [
        KnownList(
            dataset=dataset,
            split=row["split"],
            variant=row["variant"],
            sha256=row["sha256"],
            git_blob=row["git_blob"],
            lines=int(row["lines"]),
            found_in=row["found_in"],
            urls=tuple(row["urls"].split()),
        )
        for row in csv.DictReader(text.splitlines())
        if row["dataset"] == dataset
    ]
    return tuple(sorted(found, key=lambda known: not known.urls))


@cache
def known_counts(dataset: str) -> KnownCounts:
    """The images per class of a benchmark."""
    name = dataset.replace("-", "_")
    facts = json.loads((files(__package__) / f"{name}.json").read_text(encoding="utf-8"))
    train = np.asarray(facts["train"], dtype=np.int64)
    balanced = {split: np.full_like(train, facts[split]) for split in ("val", "test") if split in facts}
    return KnownCounts(facts["source"], {"train": train, **balanced})
