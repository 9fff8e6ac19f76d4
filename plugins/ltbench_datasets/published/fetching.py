"""Downloading published annotation lists, each checked by its hash before it is put in place. Never images. No torch."""

import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path

from ltbench.common.files import write_bytes
from ltbench.errors import DataError
from ltbench_datasets.published.annotations import git_blob, read_content, sha256
from ltbench_datasets.published.benchmark import Benchmark
from ltbench_datasets.published.facts import KnownList
from ltbench_datasets.published.list_diff import known_variant

TIMEOUT = 30.0
"""Seconds without an answer after which an address is given up."""

MAX_BYTES = 256 * 2**20
"""More than any list has: a page that never ends does not fill the memory."""


def fetch_lists(benchmark: Benchmark, lists: Iterable[KnownList], folder: Path) -> Iterator[tuple[Path, str]]:
    """Put one variant of each list into ``folder``; gives (file, what was done) for each.

    Args:
        lists: known variants; the first with an address is taken for each list.

    Raises:
        DataError: no address answers, what is served is not the published list, the folder cannot be written, or it holds
            another file of that name.
    """
    chosen: dict[str, KnownList] = {}
    for known in lists:
        if known.urls:
            chosen.setdefault(known.split, known)
    for split, known in chosen.items():
        file = folder / benchmark.lists[split]
        if file.exists():
            if not known_variant(benchmark, split, read_content(file)):
                raise DataError(
                    f"{file} exists and is not a published list ('ltbench data check {benchmark.name}' says what differs). "
                    "Move it away, then fetch again."
                )
            yield file, "was there, verified"
        else:
            write_bytes(file, _download(known, file))
            yield file, "fetched, verified"


def _download(known: KnownList, file: Path) -> bytes:
    failures = []
    for url in known.urls:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                content = answer.read(MAX_BYTES)
        except (OSError, HTTPException) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}")
            continue
        if git_blob(content) == known.git_blob and known.sha256 in ("", sha256(content)):
            return content
        failures.append(
            f"{url}: what it serves is not the published list ({len(content):,} bytes, git blob id {git_blob(content)}, "
            f"expected {known.git_blob})"
        )
    raise DataError(
        f"{file.name} could not be fetched; nothing was written. {'; '.join(failures)}. Without a network, download it "
        f"elsewhere and put it into {file.parent}."
    )
