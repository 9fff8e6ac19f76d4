"""Whether a copy of a published annotation list is what it should be. No torch."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ltbench_datasets.published.annotations import parse, read_content
from ltbench_datasets.published.benchmark import Benchmark
from ltbench_datasets.published.facts import known_counts, known_lists
from ltbench_datasets.published.image_names import class_names, image_names
from ltbench_datasets.published.list_diff import differences, find_reference, known_variant
from ltbench_datasets.published.list_problems import (
    image_keys,
    labels_out_of_order,
    malformed_lines,
    repeated_images,
    wrong_counts,
    wrong_labels,
)

SHOWN = 5
"""Examples that a report names of each kind of problem."""


@dataclass(frozen=True)
class Problem:
    """One kind of thing that is wrong, how often, and the first cases in words."""

    kind: str
    count: int
    examples: list[str]


@dataclass(frozen=True)
class ListReport:
    """What was found about one list.

    Attributes:
        name: of the list: ``train``, ``val`` or ``test``.
        file: where it is.
        images: entries in it.
        variant: the published variant that it equals byte for byte; empty when there is none.
        problems: empty for a published variant, and for another list in which nothing contradicts the published counts.
        reference: the published copy that it was compared with, where one lies beside it or was fetched.
    """

    name: str
    file: Path
    images: int
    variant: str
    problems: list[Problem] = field(default_factory=list)
    reference: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The report in types that JSON has."""
        reference = None if self.reference is None else str(self.reference)
        return {**asdict(self), "file": str(self.file), "reference": reference}


def inspect_list(
    benchmark: Benchmark, name: str, file: Path, folders: Sequence[Path] = (), names: Sequence[str] = ()
) -> ListReport:
    """Compare a list with what is published: by hash, else by its structure and counts and, if possible, line by line.

    Args:
        name: of the list.
        folders: where a published copy of it may lie.
        names: of the classes, for a list whose paths do not tell them.

    Raises:
        DataError: the file cannot be read.
    """
    content = read_content(file)
    found = parse(content, file)
    variant = known_variant(benchmark, name, content)
    if variant:
        return ListReport(name, file, len(found), variant)
    images = image_names(benchmark, found)
    counts = known_counts(benchmark.name).by_split[name]
    published = {known.lines for known in known_lists(benchmark.name) if known.split == name}
    kinds: dict[str, Iterable[str]] = {
        "malformed line": malformed_lines(found),
        "number of images": [f"{len(found):,}, published: {n:,}" for n in published if n != len(found)],
        "listed twice": repeated_images(found, image_keys(benchmark.sources[name], images)),
        "label against the category": wrong_labels(found, images),
        "label against its neighbours": labels_out_of_order(found, images),
        "images of a class": wrong_counts(found.labels, counts, names or class_names(images, found.labels)),
    }
    reference = find_reference(benchmark, name, folders)
    if reference is not None:
        kinds |= differences(benchmark, name, found, parse(read_content(reference), reference))
    problems = [_problem(kind, texts) for kind, texts in kinds.items()]
    return ListReport(name, file, len(found), "", [problem for problem in problems if problem.count], reference)


def _problem(kind: str, texts: Iterable[str]) -> Problem:
    examples, count = [], 0
    for text in texts:
        count += 1
        if count <= SHOWN:
            examples.append(text)
    return Problem(kind, count, examples)
