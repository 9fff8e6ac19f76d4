"""Which of how many processes this is, by the environment that torchrun, accelerate launch and ltbench set. No torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ltbench.errors import UsageError

LAUNCHED = "LTBENCH_LAUNCHED"
"""Set for the processes of ``--num-processes``: what ends all of them is said once, by the command that started them."""

_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        size: how many.
        rank: which of them this is, from 0.
        local_size: how many were started on this machine.
    """

    size: int = 1
    rank: int = 0
    local_size: int = 1


def read_world() -> World:
    """What the environment says of this process.

    Raises:
        UsageError: a variable that is no such number, or one that is missing where several processes are to be joined.
    """
    size = _number("WORLD_SIZE", 1, least=1)
    local_rank = _number("LOCAL_RANK", -1, least=-1)
    rank = _number("RANK", 0, least=0)
    if rank >= size:
        raise UsageError(
            f"RANK={rank} in the environment does not go with WORLD_SIZE={size}: ranks are 0 to {size - 1}."
        )
    joined = size > 1 or local_rank >= 0
    missing = [name for name in _NEEDED if joined and not os.environ.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE={size} in the environment asks for processes that are joined, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set. Start them with torchrun or --num-processes, or unset WORLD_SIZE "
            "and LOCAL_RANK."
        )
    if joined:
        _number("MASTER_PORT", 0, least=1)
    return World(size, rank, _number("LOCAL_WORLD_SIZE", size, least=1))


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_main(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the process that reports, as far as the environment says."""
    return environment.get("RANK") in (None, "", "0")


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is one of the processes of ``--num-processes``."""
    return bool(environment.get(LAUNCHED))


def _number(name: str, default: int, least: int) -> int:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"{name}={text} in the environment: expected an integer >= {least}. Correct or unset it.")
    return number
