"""Where a training stands after an epoch: safetensors and JSON, so that a killed run goes on and ends bit-identical."""

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ltbench.files import save_beside
from ltbench.method import TrainingResult
from ltbench.optim import OptimConfig

SECONDS_BETWEEN = 10.0
"""Least time between two checkpoints of one training: writing must not cost more than the work it saves."""


@dataclass
class Progress:
    """What a training has reached.

    Attributes:
        history: metrics of each epoch done.
        best_epoch: from 1; 0: none yet.
        best_accuracy: its validation accuracy in percent.
        best: weights of that epoch, on the CPU.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_accuracy: float = float("-inf")
    best: dict[str, Tensor] = field(default_factory=dict)

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
    """One file ``<folder>/<label>.safetensors`` for one training of a stage."""

    def __init__(self, folder: Path, label: str) -> None:
        self.path = folder / (re.sub(r"[^\w.=-]+", "_", label) + ".safetensors")
        self._saved_at = time.monotonic()

    def save(
        self, progress: Progress, module: nn.Module, optimizer: torch.optim.Optimizer, force: bool = False
    ) -> None:
        """Write beside and rename; skipped within :data:`SECONDS_BETWEEN` of the last one unless forced."""
        if not force and time.monotonic() - self._saved_at < SECONDS_BETWEEN:
            return
        tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in progress.best.items()}
        tensors |= {f"momentum.{index}": value for index, value in _momenta(optimizer).items()}
        standing = {
            "history": progress.history,
            "best_epoch": progress.best_epoch,
            "best_accuracy": progress.best_accuracy,
        }
        save_beside(tensors, self.path, {"progress": json.dumps(standing)})
        self._saved_at = time.monotonic()

    def load(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
        """Bring module and optimiser to where they stood after the last epoch kept; None where there is no checkpoint."""
        if not self.path.exists():
            return None
        with safe_open(self.path, "pt") as file:
            standing = json.loads(file.metadata()["progress"])
            groups: dict[str, dict[str, Any]] = {"model": {}, "best": {}, "momentum": {}}
            for key in file.keys():  # noqa: SIM118 (a safetensors file is not a dict)
                kind, _, name = key.partition(".")
                groups[kind][name] = file.get_tensor(key)
        progress = Progress(standing["history"], standing["best_epoch"], standing["best_accuracy"], groups["best"])
        module.load_state_dict(groups["model"])
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for index, value in groups["momentum"].items():
            optimizer.state[parameters[int(index)]]["momentum_buffer"] = value.to(parameters[int(index)].device)
        return progress


def _momenta(optimizer: torch.optim.Optimizer) -> dict[int, Tensor]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    buffers = {
        index: optimizer.state[parameter].get("momentum_buffer")
        for index, parameter in enumerate(parameters)
        if parameter in optimizer.state
    }
    return {index: buffer for index, buffer in buffers.items() if buffer is not None}
