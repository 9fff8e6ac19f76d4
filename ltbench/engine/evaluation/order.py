"""The order in which samples are evaluated: drawn, so that a sample's place and neighbours tell nothing of its class."""

import torch
from torch import Tensor

from ltbench.engine.machine.seeding import stream


def drawn_order(fingerprint: str, name: str, samples: int) -> Tensor:
    """int64[N]: positions in the split ``name`` of the dataset with that fingerprint, the same at every call."""
    return torch.randperm(samples, generator=stream(0, "order of evaluation", fingerprint, name, samples))


def put_back(rows: Tensor, order: Tensor) -> Tensor:
    """``rows`` [N, ...] of the samples ``order`` int64[N], in the order of the split."""
    back = torch.empty_like(rows)
    back[order] = rows
    return back


def changed_predictions(found: Tensor, expected: Tensor) -> float:
    """Share of rows, of two float[n, K] computed among other samples, whose largest entry is another one."""
    return float((found.argmax(dim=1) != expected.argmax(dim=1)).double().mean())
