"""Stages: one method trained on one dataset with one configuration and seed, kept under a key of everything that decides it."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from ltbench.common.canonical import digest
from ltbench.common.files import sync_folder, unwritable
from ltbench.common.sealed import Damaged, set_aside, write_json
from ltbench.common.sealed_tensors import read_tensors, write_tensors
from ltbench.data.base import Dataset
from ltbench.engine.keys.keys import stage_code
from ltbench.method import Method
from ltbench.results.stage import Stage


def make_stage(
    root: Path,
    method: type[Method],
    dataset: type[Dataset],
    name: str,
    inputs: Mapping[str, Any],
    requires: Sequence[Stage],
) -> Stage:
    """The stage of ``method`` for these inputs (plain values); the code of all that decides it is added to them."""
    full = {
        "method": name,
        **inputs,
        "classes": {"method": _named(method), "dataset": _named(dataset)},
        "code": stage_code(method, dataset),
        "requires": {stage.method: stage.key for stage in requires},
    }
    key = digest(full)
    return Stage(name, key, full, root / "stages" / f"{name.replace(':', '.')}-{key[:20]}")


@contextmanager
def lock(stage: Stage, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the right to train a stage; another process that wants the same one says so, waits, and then finds it done."""
    path = stage.folder.parent / ".locks" / f"{stage.folder.name}.lock"
    held = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            say(f"waiting for another process that trains {stage.method}")
            held.acquire()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        held.release()


def open_draft(stage: Stage) -> Path:
    """The folder in which the stage is made. Checkpoints of an earlier attempt are kept, everything else starts anew."""
    draft = draft_of(stage)
    try:
        (draft / "checkpoint").mkdir(parents=True, exist_ok=True)
        for entry in draft.iterdir():
            if entry.name != "checkpoint":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    except OSError as error:
        raise unwritable(draft, error) from error
    return draft


def draft_of(stage: Stage) -> Path:
    return stage.folder.with_name(stage.folder.name + ".partial")


def write_weights(stage: Stage, weights: Mapping[str, Tensor]) -> str:
    """Into the draft; returns their seal. Raises DataError when the place cannot be written."""
    return write_tensors(draft_of(stage) / stage.weights.name, weights, stage.of("weights"), durable=True)


def read_draft(stage: Stage) -> dict[str, Tensor]:
    """The weights in the draft. Raises as :func:`ltbench.common.sealed_tensors.read_tensors`."""
    return read_tensors(draft_of(stage) / stage.weights.name, stage.of("weights")).tensors


def publish(stage: Stage, weights_sha256: str, report: Mapping[str, Any]) -> None:
    """Make the draft the stage: only now can it be found. Its checkpoints are no longer needed."""
    draft = draft_of(stage)
    shutil.rmtree(draft / "checkpoint", ignore_errors=True)
    about = {"key": stage.key, "inputs": stage.inputs, "weights_sha256": weights_sha256}
    write_json(draft / "stage.json", {**about, **report}, stage.of("report"))
    try:
        if stage.folder.exists():
            set_aside(stage.folder, Damaged(stage.folder, "is in the way of the stage that was trained"))
        draft.rename(stage.folder)
        sync_folder(stage.folder.parent)
    except OSError as error:
        raise unwritable(stage.folder, error) from error


def _named(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
