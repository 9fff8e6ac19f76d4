"""Named random streams: seed + name -> numbers that nothing else can shift. Adding a method changes no other method's numbers."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream_seed(seed: int, *names: object) -> int:
    """A 63-bit seed for the stream of that name."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: object) -> torch.Generator:
    """A generator of its own, on the CPU."""
    return torch.Generator().manual_seed(stream_seed(seed, *names))


@contextmanager
def global_stream(seed: int, *names: object) -> Iterator[None]:
    """Seed the global generators (torch, numpy, random) for code that draws from them, and restore them afterwards."""
    value = stream_seed(seed, *names)
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        seed_globals(value)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


def seed_globals(value: int) -> None:
    """Set torch's, numpy's and Python's global generators: dropout and third-party code draw from them."""
    torch.manual_seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002
    random.seed(value)
