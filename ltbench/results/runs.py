"""Runs in the cache by name or folder. No torch."""

import json
from pathlib import Path
from typing import Any

from ltbench.common.cache import cache_dir
from ltbench.common.sealed import OF, Damaged, check_of, read_text
from ltbench.errors import DataError, did_you_mean


def find_run(source: str) -> Path:
    """The folder of a run given by its path, its name, or a beginning of its name that only one has.

    Raises:
        DataError: there is none, or several begin so.
    """
    if (Path(source) / "run.json").is_file():
        return Path(source)
    root = cache_dir() / "runs"
    names = sorted(path.name for path in root.glob("*") if path.is_dir())
    matches = [name for name in names if name == source] or [name for name in names if name.startswith(source)]
    if not matches:
        raise DataError(
            f"'{source}' is neither a run in {root} nor a folder of logits.{did_you_mean(source, names)} See 'ltbench list runs'."
        )
    if len(matches) > 1:
        raise DataError(f"several runs begin with '{source}': {', '.join(matches)}.")
    return root / matches[0]


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json`` of a run's folder, which may have been copied from the cache to anywhere.

    Raises:
        Damaged: it is missing, or not what was written, or in the cache and of another run.
        DataError: it cannot be read.
    """
    path = folder / "run.json"
    try:
        content: dict[str, Any] = json.loads(read_text(path, must=True))
        if folder.resolve().parent == (cache_dir() / "runs").resolve():
            check_of(path, content.get(OF), run_of(folder.resolve().name))
    except Damaged as why:
        raise Damaged(path, why.what, "Run the run's own 'ltbench run' again: it writes this file anew.") from why
    return {key: value for key, value in content.items() if key != OF}


def run_of(name: str) -> str:
    """What the ``run.json`` of a run says it is."""
    return f"run {name}"
