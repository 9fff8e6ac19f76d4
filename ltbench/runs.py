"""Runs in the cache by name or folder. No torch."""

import json
from pathlib import Path
from typing import Any

from ltbench.cache import cache_dir
from ltbench.errors import DataError, did_you_mean


def find_run(source: str) -> Path:
    """The folder of a run given by its path, its name, or a beginning of its name that only one has.

    Raises:
        DataError: there is none, or several begin so.
    """
    if (Path(source) / "run.json").is_file():
        return Path(source)
    root = cache_dir() / "runs"
    names = sorted(path.parent.name for path in root.glob("*/run.json"))
    matches = [name for name in names if name == source] or [name for name in names if name.startswith(source)]
    if not matches:
        raise DataError(
            f"'{source}' is neither a run in {root} nor a folder of logits.{did_you_mean(source, names)} See 'ltbench list runs'."
        )
    if len(matches) > 1:
        raise DataError(f"several runs begin with '{source}': {', '.join(matches)}.")
    return root / matches[0]


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json`` of a run's folder. Raises DataError when it cannot be read."""
    path = folder / "run.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return content
