"""Where ltbench keeps what it can make again: drawn datasets, trained stages."""

import os
from pathlib import Path

import platformdirs

from ltbench.errors import DataError

__all__ = ["cache_dir"]


def cache_place() -> Path:
    """The cache folder, whether it is there or not: ``LTBENCH_CACHE``, or the user's cache folder of the platform."""
    chosen = os.environ.get("LTBENCH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("ltbench"))


def cache_dir() -> Path:
    """The cache folder, created: ``LTBENCH_CACHE``, or the user's cache folder of the platform.

    Raises:
        DataError: it cannot be created or written.
    """
    folder = cache_place()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(_unusable(folder, error.strerror)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(_unusable(folder, "no permission to write"))
    return folder


def _unusable(folder: Path, reason: str | None) -> str:
    return f"the cache folder {folder} cannot be written ({reason}). Set LTBENCH_CACHE to a folder that can."
