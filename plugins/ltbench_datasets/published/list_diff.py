"""The exact difference between a list and a published copy of it, whatever variant that is. No torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ltbench.errors import DataError
from ltbench_datasets.published.annotations import Annotations, git_blob, read_content, sha256
from ltbench_datasets.published.benchmark import Benchmark
from ltbench_datasets.published.facts import known_lists
from ltbench_datasets.published.image_names import image_names
from ltbench_datasets.published.list_problems import image_keys


def known_variant(benchmark: Benchmark, name: str, content: bytes) -> str:
    """The published variant of list ``name`` whose sha256 or git blob id the content has; empty when there is none."""
    digests = {sha256(content), git_blob(content)}
    lists = (known for known in known_lists(benchmark.name) if known.split == name)
    return next((known.variant for known in lists if digests & {known.sha256, known.git_blob}), "")


def find_reference(benchmark: Benchmark, name: str, folders: Sequence[Path]) -> Path | None:
    """A published copy of list ``name``, under whatever file name, in the first of the folders that has one."""
    for folder in folders:
        for file in sorted(file for file in folder.glob("*.txt*") if file.is_file()):
            try:
                content = read_content(file)
            except DataError:  # another file than a list: nothing to compare with
                continue
            if known_variant(benchmark, name, content):
                return file
    return None


def differences(
    benchmark: Benchmark, name: str, found: Annotations, published: Annotations
) -> dict[str, Iterator[str]]:
    """Kind of difference -> each case in words, in the order of the lines."""
    source = benchmark.sources[name]
    keys, known = (image_keys(source, image_names(benchmark, entries)) for entries in (found, published))
    label_of = dict(zip(known, published.labels.tolist(), strict=True))
    listed = set(keys)

    def missing() -> Iterator[str]:
        for position, key in enumerate(known):
            if key not in listed:
                yield f"{published.paths[position]} {published.labels[position]} (line {published.lines[position]} there)"

    def extra() -> Iterator[str]:
        for position, key in enumerate(keys):
            if key not in label_of:
                yield f"line {found.lines[position]}: {found.paths[position]}"

    def relabelled() -> Iterator[str]:
        for position, (key, label) in enumerate(zip(keys, found.labels.tolist(), strict=True)):
            if label_of.get(key, label) != label:
                yield f"line {found.lines[position]}: {found.paths[position]} has label {label}, published: {label_of[key]}"

    return {"missing": missing(), "not in the published list": extra(), "another label": relabelled()}
