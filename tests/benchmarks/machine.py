"""What the benchmarks say of the machine, and how they measure memory. Linux only."""

import ctypes
import os
import resource
from pathlib import Path

MB = 1e6


def describe() -> str:
    """Cores that this process may use, and the threads that torch takes."""
    import torch

    return f"{len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} torch threads"


def peak() -> int:
    """Most bytes that this process had in memory since :func:`forget_peak`, or since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak() -> int:
    """Count the peak anew from what is in memory now, which is the answer, in bytes. Unused heap is given back first."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak()
