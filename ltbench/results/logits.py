"""A folder of logits: the public format in which members travel, whoever trained them.

``members.json``::

    {"format": 1, "num_classes": 3, "train_counts": [120, 30, 5],
     "members": [{"name": "experts/many", "method": "experts", "classes": [0], "outside": "reject"}, ...],
     "dataset": {"name": "birds-lt", "fingerprint": "..."}}          (optional)

``val.safetensors`` and ``test.safetensors``: one float tensor [N, K or K + 1] for each member by its name, plus ``labels``
int64[N] and ``indices`` int64[N] (positions in the split). Fusers are fitted on ``val`` and evaluated on ``test``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltbench.common.parsing import json_value
from ltbench.common.sealed import Damaged, check_of, read_text, write_json
from ltbench.common.sealed_tensors import read_tensors, write_tensors
from ltbench.errors import DataError
from ltbench.members import MemberLogits, check_members

FORMAT = 1
_MANY = 2**48
"""Neither a class id nor a number of images is as large."""

_MEMBER_KEYS = {"name": str, "method": str, "classes": list, "outside": str}

RESERVED = ("labels", "indices")

MEMBERS = "members.json"
FILES = (MEMBERS, "val.safetensors", "test.safetensors")
"""Of a folder; ``members.json`` is written last."""


@dataclass(frozen=True)
class SplitLogits:
    """Logits of every member for the samples of one split; labels and indices int64[N]."""

    members: list[MemberLogits]
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True)
class LogitsFolder:
    """Everything a fuser and its evaluation need. ``dataset`` is {} where the maker of the folder did not say."""

    num_classes: int
    train_counts: np.ndarray
    val: SplitLogits
    test: SplitLogits
    dataset: dict[str, Any] = field(default_factory=dict)


def write_logits(folder: Path, content: LogitsFolder, of: str = "") -> None:
    """Write the three files, each with a checksum (:mod:`ltbench.common.sealed`).

    Args:
        of: whose logits they are; :func:`read_logits` can ask for that.

    Raises:
        DataError: the folder cannot be written or a member has a reserved name.
    """
    description = {
        "format": FORMAT,
        "num_classes": content.num_classes,
        "train_counts": [int(count) for count in content.train_counts],
        "members": [
            {
                "name": member.name,
                "method": member.method,
                "classes": member.classes.tolist(),
                "outside": member.outside,
            }
            for member in content.val.members
        ],
    }
    if content.dataset:
        description["dataset"] = content.dataset
    for name in ("val", "test"):
        split: SplitLogits = getattr(content, name)
        tensors = {member.name: member.logits for member in split.members}
        if clash := next((key for key in RESERVED if key in tensors), None):
            raise DataError(f"a member cannot be named '{clash}': the format uses that name.")
        write_tensors(
            folder / f"{name}.safetensors",
            tensors | {"labels": split.labels, "indices": split.indices},
            _named(name, of),
        )
    write_json(folder / MEMBERS, description, _named(MEMBERS, of), durable=False)


def read_logits(folder: Path, of: str | None = None) -> LogitsFolder:
    """Read and check a folder.

    Args:
        of: whose logits they must be. None: anybody's, whose files need have no checksum; one that is there must be right.

    Raises:
        Damaged: a file is missing or empty, is not what was written, or belongs elsewhere.
        DataError: a file is malformed, or shapes, labels and classes disagree; names the file and the member.
    """
    path = folder / MEMBERS
    text = read_text(path, must=of is not None)
    try:
        description = json_value(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    if of is not None:
        check_of(path, description.get("of"), _named(MEMBERS, of))
    entries, num_classes, counts = _described(description, path)
    splits = {
        name: _read_split(folder / f"{name}.safetensors", entries, num_classes, of and _named(name, of))
        for name in ("val", "test")
    }
    if not len(splits["test"].labels):
        raise DataError(f"{folder / 'test.safetensors'} holds no sample: there is nothing to measure.")
    return LogitsFolder(num_classes, counts, splits["val"], splits["test"], description.get("dataset", {}))


def check_complete(folder: Path) -> None:
    """Look whether all files are there, without reading them. Raises Damaged for the first that is not."""
    for name in FILES:
        if not (folder / name).is_file():
            raise Damaged(folder / name, "is missing")


def _named(file: str, of: str) -> str:
    return f"{file} of {of}" if of else file


def _described(description: Any, path: Path) -> tuple[list[Mapping[str, Any]], int, np.ndarray]:
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError(f'{path}: expected an object with "format": {FORMAT}.')
    for key, kind in (("num_classes", int), ("train_counts", list), ("members", list)):
        if not isinstance(value := description.get(key), kind) or isinstance(value, bool):
            raise DataError(f"{path}: '{key}' is missing or no {kind.__name__}.")
    if not isinstance(description.get("dataset", {}), dict):
        raise DataError(f"{path}: 'dataset' must be an object.")
    counts = description["train_counts"]
    if len(counts) != description["num_classes"] or not _are_integers(counts):
        raise DataError(
            f"{path}: train_counts must be {description['num_classes']} integers from 0 up, one for each class."
        )
    for entry in description["members"]:
        if not isinstance(entry, dict):
            raise DataError(f"{path}: a member must be an object, got {entry!r}.")
        for key, type_ in _MEMBER_KEYS.items():
            if not isinstance(entry.get(key), type_):
                raise DataError(
                    f"{path}: member {entry.get('name', '?')!r}: '{key}' is missing or no {type_.__name__}."
                )
        if not _are_integers(entry["classes"]):
            raise DataError(f"{path}: member {entry['name']!r}: classes must be a list of class ids.")
    return description["members"], description["num_classes"], np.array(counts, dtype=np.int64)


def _are_integers(values: list[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MANY for value in values)


def _read_split(path: Path, entries: Sequence[Mapping[str, Any]], num_classes: int, of: str | None) -> SplitLogits:
    tensors = read_tensors(path, of).tensors
    for name in (*RESERVED, *(entry["name"] for entry in entries)):
        if name not in tensors:
            raise DataError(f"{path} has no tensor '{name}'; it has {', '.join(sorted(tensors))}.")
    for name in RESERVED:
        if tensors[name].ndim != 1 or tensors[name].is_floating_point():
            raise DataError(
                f"{path}: '{name}' must be integers [N], got {tensors[name].dtype}{list(tensors[name].shape)}."
            )
    try:
        members = [
            MemberLogits(
                entry["name"],
                entry["method"],
                torch.as_tensor(entry["classes"]),
                entry["outside"],
                tensors[entry["name"]],
            )
            for entry in entries
        ]
        labels = tensors["labels"].to(torch.int64)
        check_members(members, num_classes, labels)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if tensors["indices"].shape != labels.shape:
        raise DataError(f"{path}: {len(tensors['indices'])} indices for {len(labels)} labels.")
    return SplitLogits(members, labels, tensors["indices"].to(torch.int64))


def joined(folders: Sequence[LogitsFolder]) -> LogitsFolder:
    """The members of several folders over the same samples as one. Raises DataError when their samples differ."""
    first = folders[0]
    for other in folders[1:]:
        same = other.num_classes == first.num_classes and all(
            torch.equal(getattr(other, name).labels, getattr(first, name).labels)
            and torch.equal(getattr(other, name).indices, getattr(first, name).indices)
            for name in ("val", "test")
        )
        if not same:
            raise DataError("these logits are of different samples or classes and cannot be fused together.")
    val, test = (
        SplitLogits(
            [m for folder in folders for m in getattr(folder, name).members],
            getattr(first, name).labels,
            getattr(first, name).indices,
        )
        for name in ("val", "test")
    )
    return LogitsFolder(first.num_classes, first.train_counts, val, test, first.dataset)
