"""A loop of a method's own in rounds, each of which a killed run need not do again."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.engine.checkpoint import Checkpoint
from ltbench.engine.compute import Compute
from ltbench.errors import DataError
from ltbench.training import Kept, Round

if TYPE_CHECKING:
    from ltbench.engine.context import StageContext


def rounds(
    context: "StageContext", compute: Compute, folder: Path, label: str, total: int, keep: Kept
) -> Iterator[Round]:
    """See :meth:`ltbench.method.MethodContext.rounds`; checkpoints go into ``folder``."""
    checkpoint = Checkpoint(folder, label)
    done: list[list[dict[str, Any]]] = checkpoint.read(keep)[0] if checkpoint.usable(compute) else []
    if len(done) != compute.agree(len(done)):
        raise DataError(f"{checkpoint.path}: this process does not see the checkpoint that the main one goes on from.")
    for metrics in chain(*done):
        context.log(**metrics)
    for number in range(len(done), total):
        lines: list[dict[str, Any]] = []
        yield Round(number, lines.append)
        for metrics in lines:
            context.log(**metrics)
        done.append(lines)
        if compute.is_main:
            checkpoint.write(keep, done, {}, force=number + 1 == total)
