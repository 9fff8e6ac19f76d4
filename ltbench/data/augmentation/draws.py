"""Random parameters of a batch that do not depend on how many processes share it."""

import torch
from torch import Generator, Tensor

__all__ = ["SAMPLES", "Draws"]

SAMPLES = -1
"""Stands for the number of samples in the shapes below."""


class Draws:
    """Random numbers for some samples of a batch, drawn for the whole batch: each process takes those of its own samples.

    Args:
        generator: a CPU generator; None: torch's global one.
        total: samples of the whole batch.
        chosen: int64[B], positions in the batch of the samples at hand; None: all of it.
    """

    def __init__(self, generator: Generator | None, total: int, chosen: Tensor | None = None) -> None:
        self._generator, self._total, self._chosen = generator, total, chosen

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Numbers in [0, 1), float32 by default, of this shape, in which :data:`SAMPLES` stands for B."""
        return self._own(torch.rand(self._whole(shape), generator=self._generator, dtype=dtype), shape)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Integers, int64, from ``low`` to ``high - 1`` of this shape, in which :data:`SAMPLES` stands for B."""
        return self._own(torch.randint(low, high, self._whole(shape), generator=self._generator), shape)

    def _whole(self, shape: tuple[int, ...]) -> list[int]:
        return [self._total if length == SAMPLES else length for length in shape]

    def _own(self, drawn: Tensor, shape: tuple[int, ...]) -> Tensor:
        if self._chosen is None or SAMPLES not in shape:
            return drawn
        return drawn.index_select(shape.index(SAMPLES), self._chosen)
