"""A loop of a method's own in rounds, each of which a killed run need not do again."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from ltbench.engine.fitting.checkpoint import Checkpoint
from ltbench.engine.fitting.spent import Spent, worked
from ltbench.engine.machine.compute import Compute
from ltbench.errors import DataError
from ltbench.training.request import Kept, Round


def rounds(
    log: Callable[..., None], compute: Compute, folder: Path, label: str, total: int, keep: Kept, spent: Spent
) -> Iterator[Round]:
    """See :meth:`ltbench.method.MethodContext.rounds`; checkpoints go into ``folder``, metrics to ``log``, what the rounds take
    is noted in ``spent``."""
    checkpoint = Checkpoint(folder, label)
    for module in keep.values():
        spent.learning(module.parameters() if isinstance(module, nn.Module) else [])
    before, clock = replace(spent.counts), worked(compute.device)
    done: list[list[dict[str, Any]]] = []
    if checkpoint.usable(compute):
        standing = checkpoint.read(keep)[0]
        done = standing["rounds"]
        spent.goes_on_from(standing["spent"])
    if len(done) != compute.from_main(len(done)):
        raise DataError(f"{checkpoint.path}: this process does not see the checkpoint that the main one goes on from.")
    for metrics in chain(*done):
        log(**metrics)
    for number in range(len(done), total):
        lines: list[dict[str, Any]] = []
        yield Round(number, lines.append)
        for metrics in lines:
            log(**metrics)
        done.append(lines)
        if compute.is_main:
            taken = spent.since(before)
            taken["seconds"] += worked(compute.device) - clock
            checkpoint.write(keep, {"rounds": done, "spent": taken}, {}, force=number + 1 == total)
