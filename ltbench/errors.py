"""Errors a user can act on: one line that says what is wrong, where, and what to do; each with its exit code."""

from collections.abc import Iterable
from difflib import get_close_matches


class LtbenchError(Exception):
    """A failed run (exit code 1) and the base of every error shown without a traceback."""

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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the closest of ``known``, or an empty string; starts with a space for appending."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
