"""A loop of a method's own in rounds, each of which a killed run need not do again."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ltbench.engine.fitting.checkpoint import Checkpoint
from ltbench.engine.machine.compute import Compute
from ltbench.errors import DataError
from ltbench.training.request import Kept, Round


def rounds(
    log: Callable[..., None], compute: Compute, folder: Path, label: str, total: int, keep: Kept
) -> Iterator[Round]:
    """See :meth:`ltbench.method.MethodContext.rounds`; checkpoints go into ``folder``, metrics to ``log``."""
    checkpoint = Checkpoint(folder, label)
    done: list[list[dict[str, Any]]] = checkpoint.read(keep)[0] if checkpoint.usable(compute) else []
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
            checkpoint.write(keep, done, {}, force=number + 1 == total)
