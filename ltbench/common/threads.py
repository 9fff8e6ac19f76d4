"""Parallel work on chunks: a thread for each core, one chunk each, and a single torch thread inside of it.

torch's own threads meet at a barrier after every operation. On chunks of a megabyte that costs more than it gains, and
ten times the work when other processes hold the cores; threads that share nothing but the list of chunks never wait.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

import torch

__all__ = ["map_parts", "one_torch_thread"]

Part = TypeVar("Part")
Result = TypeVar("Result")


_cores: ContextVar[int | None] = ContextVar("cores", default=None)
"""Threads that torch might use outside of :func:`one_torch_thread`; None when we are outside of it."""


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch operations inside use one thread each, so that only :func:`map_parts` works in parallel; restored at the end."""
    before = torch.get_num_threads()
    token = _cores.set(_cores.get() or before)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _cores.reset(token)


def map_parts(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """``[function(part) for part in parts]``, on as many threads as torch may use. Results stand in the order of the parts."""
    workers = min(_cores.get() or torch.get_num_threads(), len(parts))
    with one_torch_thread():
        if workers <= 1:
            return [function(part) for part in parts]
        inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def in_the_callers_mode(part: Part) -> Result:  # which is a thread's own
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
                return function(part)

        return list(_pool(workers).map(in_the_callers_mode, parts))


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Kept: on busy cores, starting threads takes milliseconds. Worker processes have one core and never come here."""
    return ThreadPoolExecutor(workers)
