"""Tensors that are kept carry a sha256 over all that the file says, and it is checked when they are read.

The files are safetensors, as anybody reads them; the seal stands in their metadata. See :mod:`ltbench.common.sealed`.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ltbench.common.files import unreadable, written_beside
from ltbench.common.sealed import CHANGED, OF, UNSEALED, Damaged, check_of

_SEAL = "sha256"


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: by name, mapped from the file into memory.
        texts: that go with them.
        sha256: its seal (hex): over names, types, shapes and values of the tensors, the texts and what the file is;
            empty where there is none.
    """

    tensors: dict[str, Tensor]
    texts: dict[str, str]
    sha256: str


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], of: str, texts: Mapping[str, str] | None = None, *, durable: bool = False
) -> str:
    """Write a sealed file; returns its seal.

    Args:
        of: says what the file is, so that it is not taken for another of its kind.
        durable: see :func:`ltbench.common.files.written_beside`.

    Raises:
        DataError: the place cannot be written.
    """
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    metadata = {**(texts or {}), OF: of}
    seal = seal_of(whole, metadata)
    with written_beside(path, durable=durable) as beside:
        try:
            save_file(whole, beside, metadata | {_SEAL: seal})
        except SafetensorError as error:
            raise OSError(str(error)) from error
    return seal


def read_tensors(path: Path, of: str | None) -> Contents:
    """Read and check a sealed file.

    Args:
        of: what it must be. None: anybody's, which may have no seal; one that is there must be right.

    Raises:
        Damaged: it is missing, empty, cut short or longer, not what was written, or belongs elsewhere.
        DataError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            texts: dict[str, str] = file.metadata() or {}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Damaged(path, "is missing") from error
    except OSError as error:
        raise unreadable(path, error) from error
    except (SafetensorError, KeyError, AttributeError, ValueError) as error:  # a changed header may name odd types
        raise Damaged(path, CHANGED if path.stat().st_size else "is damaged: empty") from error
    seal = texts.pop(_SEAL, "")
    if not seal:
        if of is not None:
            raise Damaged(path, UNSEALED)
    elif seal_of(tensors, texts) != seal:
        raise Damaged(path, CHANGED)
    found = texts.pop(OF, None)
    if of is not None:
        check_of(path, found, of)
    return Contents(tensors, texts, seal)


def seal_of(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """sha256 (hex) of texts and of names, types, shapes and values of tensors on the CPU."""
    total = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        total.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        total.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
