"""Files that are either whole or not there: written beside and renamed."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ltbench.errors import DataError

_POLL_SECONDS = 0.1


def save_beside(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Tensors as safetensors. Raises DataError when the place cannot be written."""
    beside = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, beside, metadata
        )
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        raise unwritable(path, error) from error


def write_json(path: Path, content: Any) -> None:
    """Indented JSON. Raises DataError when the place cannot be written."""
    beside = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error


def wait_for(path: Path, seconds: float) -> bool:
    """Whether a file that another process has written can be seen here, within so many seconds."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _beside(path: Path) -> Path:
    """A name of this process's own: two processes may write the same features at once."""
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")


def unwritable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be written: {getattr(error, 'strerror', None) or error}. "
        "Free some room or set LTBENCH_CACHE to another folder."
    )
