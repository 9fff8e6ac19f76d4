"""Where a training stands after an epoch: safetensors and JSON, so that a killed run goes on and ends bit-identical."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltbench.common.sealed import Damaged, set_aside
from ltbench.common.sealed_tensors import Contents, read_tensors, write_tensors
from ltbench.engine.machine.compute import Compute
from ltbench.training.optim import OptimConfig
from ltbench.training.request import Kept, TrainingResult

_BEST = "best epoch"
"""The group of the best epoch's weights in the file. No name of a method's own can be this one: it would be no identifier."""

SECONDS_BETWEEN = 10.0
"""Least time between two checkpoints of one training: writing must not cost more than the work it saves."""

SECONDS_WORTH_SYNCING = 60.0
"""Work that must outlast a power failure. Waiting for the disk after less would slow the training."""


@dataclass
class Progress:
    """What a training has reached.

    Attributes:
        history: metrics of each epoch done.
        best_epoch: from 1; 0: none yet.
        best_accuracy: its validation accuracy in percent.
        best: weights of that epoch, on the CPU.
        inputs, seconds: what was trained on and how long the device worked, see :class:`ltbench.engine.fitting.spent.Counts`.
        stepped: an optimiser changed weights.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_accuracy: float = float("-inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    inputs: int = 0
    seconds: float = 0.0
    stepped: bool = False

    @property
    def epochs_done(self) -> int:
        return len(self.history)

    def add(self, metrics: dict[str, float], module: nn.Module) -> None:
        """Note an epoch; keep its weights if it is the best so far (the earlier one stays on a tie)."""
        self.history.append(metrics)
        if metrics.get("val_accuracy", float("-inf")) > self.best_accuracy:
            self.best_accuracy, self.best_epoch = metrics["val_accuracy"], self.epochs_done
            self.best = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}

    def finished(self, optim: OptimConfig) -> bool:
        if self.epochs_done >= optim.epochs:
            return True
        validated = bool(self.history) and "val_accuracy" in self.history[-1]
        return validated and 0 < optim.patience <= self.epochs_done - self.best_epoch

    def restore_best(self, module: nn.Module) -> None:
        if self.best:
            module.load_state_dict(self.best)

    def result(self) -> TrainingResult:
        return TrainingResult(self.best_epoch, self.best_accuracy, self.history)


class Checkpoint:
    """One file ``<folder>/<label>.safetensors`` for one training of a stage, whose draft the folder lies in."""

    def __init__(self, folder: Path, label: str) -> None:
        self.path = folder / (re.sub(r"[^\w.=-]+", "_", label) + ".safetensors")
        self._of = f"checkpoint {label} of {folder.parent.name}"
        self._saved_at = time.monotonic()

    def usable(self, compute: Compute) -> bool:
        """Whether there is one to go on from, on the word of the main process; a damaged one is set aside."""
        return compute.from_main(compute.is_main and self._is_whole())

    def _is_whole(self) -> bool:
        if not self.path.exists():
            return False
        try:
            self._read()
        except Damaged as why:
            set_aside(self.path, why, "this training starts again")
            return False
        return True

    def _read(self) -> Contents:
        return read_tensors(self.path, self._of)

    def save(self, progress: Progress, kept: Kept, force: bool = False, **more: Any) -> None:
        """Write beside and rename; skipped within :data:`SECONDS_BETWEEN` of the last one unless forced.

        ``more``: further plain values to go on from.
        """
        standing = {
            "history": progress.history,
            "best_epoch": progress.best_epoch,
            "best_accuracy": progress.best_accuracy,
            "inputs": progress.inputs,
            "seconds": progress.seconds,
            "stepped": progress.stepped,
            **more,
        }
        self.write(kept, standing, {_BEST: progress.best}, force)

    def load(self, kept: Kept) -> tuple[Progress, dict[str, Any]]:
        """Bring what is kept to where it stood after the last epoch kept; also the further values. Raises Damaged."""
        standing, others = self.read(kept)
        names = ("history", "best_epoch", "best_accuracy", "inputs", "seconds", "stepped")
        reached = {name: standing.pop(name) for name in names}
        return Progress(**reached, best=others.get(_BEST, {})), standing

    def write(
        self, kept: Kept, standing: Any, tensors: Mapping[str, Mapping[str, Tensor]], force: bool = False
    ) -> None:
        """Modules and optimisers by name, plain values, and groups of other tensors; skipped as in :meth:`save`."""
        unsaved = time.monotonic() - self._saved_at
        if not force and unsaved < SECONDS_BETWEEN:
            return
        groups = {name: _tensors_of(part) for name, part in kept.items()} | dict(tensors)
        flat = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
        plain = {name: _plain_of(part) for name, part in kept.items() if isinstance(part, torch.optim.Optimizer)}
        texts = {"standing": json.dumps(standing), "optimizers": json.dumps(plain)}
        write_tensors(self.path, flat, self._of, texts, durable=unsaved >= SECONDS_WORTH_SYNCING)
        self._saved_at = time.monotonic()

    def read(self, kept: Kept) -> tuple[Any, dict[str, dict[str, Tensor]]]:
        """Fill modules and optimisers; the plain values, and the groups of other tensors. Raises Damaged."""
        groups: dict[str, dict[str, Tensor]] = {name: {} for name in kept}
        found = self._read()
        plain = json.loads(found.texts["optimizers"])
        for key, value in found.tensors.items():
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = value
        for name, part in kept.items():
            if isinstance(part, nn.Module):
                part.load_state_dict(groups.pop(name))
            else:
                _restore(part, groups.pop(name), plain[name])
        return json.loads(found.texts["standing"]), groups


def _tensors_of(part: nn.Module | torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights of a module by name; of an optimiser ``<number of the parameter>.<name>``, e.g. ``3.momentum_buffer``."""
    if isinstance(part, nn.Module):
        return part.state_dict()
    return {
        f"{number}.{name}": value
        for number, state in part.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def _plain_of(part: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimiser keeps beside tensors: numbers of its states, and the settings of its groups."""
    content = part.state_dict()
    states = {
        number: {name: value for name, value in state.items() if not isinstance(value, Tensor)}
        for number, state in content["state"].items()
    }
    groups = [
        {name: _as_plain(value) for name, value in group.items() if name != "params"}
        for group in content["param_groups"]
    ]
    return {"states": states, "groups": groups}


def _as_plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _restore(part: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    states: dict[int, dict[str, Any]] = {int(number): dict(state) for number, state in plain["states"].items()}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        states.setdefault(int(number), {})[name] = value
    groups = part.state_dict()["param_groups"]
    for group, stored in zip(groups, plain["groups"], strict=True):
        group |= {name: _like(group.get(name), value) for name, value in stored.items()}
    part.load_state_dict({"state": states, "param_groups": groups})


def _like(old: Any, value: Any) -> Any:
    """JSON knows no tuples, and a tensor was stored as its number."""
    if isinstance(old, tuple):
        return tuple(value)
    return torch.full_like(old, value) if isinstance(old, Tensor) else value
