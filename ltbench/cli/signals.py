"""SIGTERM and SIGHUP end a command as Ctrl-C does: drafts and checkpoints stay, other processes of the run are ended."""

import signal
from types import FrameType

from ltbench.engine.machine.world import is_launched
from ltbench.errors import Interrupted

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def end_as_interrupted() -> None:
    """Let the signals raise in the main thread. One that is ignored, as SIGHUP under nohup, stays ignored."""
    usual = {signal.SIG_DFL, signal.default_int_handler}
    # In a terminal Ctrl-C reaches every process of --num-processes, and then the one that started them passes it on.
    wanted = (*_ENDING, signal.SIGINT) if is_launched() else _ENDING
    for number in wanted:
        if signal.getsignal(number) in usual:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    if is_launched():
        for each in (*_ENDING, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else Interrupted(number)
