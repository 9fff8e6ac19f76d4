"""Errors a user can act on: one line that says what is wrong, where, and what to do; each with its exit code."""

import signal
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["DataError", "Interrupted", "LtbenchError", "PluginError", "UsageError"]


class LtbenchError(Exception):
    """A failed run (exit code 1) and the base of every error shown without a traceback.

    Attributes:
        exit_code: of the command that it ends.
    """

    exit_code = 1


class UsageError(LtbenchError):
    """The command line, a configuration key or a value is wrong (exit code 2)."""

    exit_code = 2


class PluginError(LtbenchError):
    """A plugin that the request needs is broken, incompatible, disabled or ambiguous (exit code 3)."""

    exit_code = 3


class DataError(LtbenchError):
    """A dataset, a checkpoint, a folder of logits or a cache cannot be used (exit code 4)."""

    exit_code = 4


class StopRun(LtbenchError):
    """Raised by a plugin's hook to end a run cleanly (exit code 5): what was computed is kept, the same command goes on.

    Attributes:
        reason: why, in one line.
        plugin: who says so. Whoever raises it leaves it empty; ltbench fills it in.
    """

    exit_code = 5

    def __init__(self, reason: str = "", plugin: str = "") -> None:
        self.reason, self.plugin = " ".join(reason.split()) or "no reason given", plugin
        super().__init__(self.reason, plugin)

    def __str__(self) -> str:
        by = f"{self.plugin} says: " if self.plugin else ""
        return f"{by}{self.reason}{'' if self.reason.endswith(('.', '!', '?')) else '.'}"


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: whatever handles Ctrl-C handles these, too.

    Attributes:
        signal: which.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "_alloc_failed", "bad_alloc")


def out_of_memory(error: BaseException) -> LtbenchError | None:
    """What to say where memory of the device or of the machine did not suffice; None for another error. No torch."""
    text = str(error)
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not named and not (isinstance(error, RuntimeError) and any(sign in text.lower() for sign in _NO_MEMORY)):
        return None
    reason = " ".join(text.split())[:200].rstrip(".")
    return LtbenchError(
        f"out of memory{f' ({reason})' if reason else ''}. Lower METHOD.optim.batch_size, cut batches with "
        "compute.gradient_accumulation, lower compute.eval_batch_size or augment.size, or take a smaller backbone."
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the closest of ``known``, or an empty string; starts with a space for appending."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
