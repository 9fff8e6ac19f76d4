"""The command line. :func:`main` is what ``ltbench`` and ``python -m ltbench`` call."""

import os
import sys
import traceback
from collections.abc import Sequence

import rich_click as click

from ltbench.cli.group import Session, cli
from ltbench.errors import LtbenchError, UsageError
from ltbench.terminal import harmless_streams

INTERRUPTED = 130
BROKEN_PIPE = 1


def main() -> None:
    """Run the command line of this process and end it with its exit code."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. An error costs a line on stderr (``--debug``: a traceback, too)."""
    with harmless_streams():
        return _invoke(arguments)


def _invoke(arguments: Sequence[str]) -> int:
    session = Session()
    try:
        code = cli.main(arguments, prog_name="ltbench", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except BrokenPipeError:
        # else the interpreter complains when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted.")
        return INTERRUPTED
    except Exception as error:
        if session.debug:
            traceback.print_exception(error)
        return _explain(error)
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    if isinstance(error, LtbenchError):
        _print_error(str(error))
        return error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" See '{context.command_path} --help'." if context else ""
        message = " ".join(error.format_message().split())
        _print_error(message + ("" if message.endswith((".", "?")) else ".") + hint)
        return UsageError.exit_code
    message = " ".join(str(error).split()).rstrip(".")
    _print_error(
        f"unexpected {type(error).__name__}: {message}. This is a bug in ltbench or in a plugin; "
        "run it again as 'ltbench --debug ...' for the traceback."
    )
    return LtbenchError.exit_code


def _print_error(message: str) -> None:
    from rich.text import Text

    from ltbench.terminal import console

    console(stderr=True, soft_wrap=True).print(Text.assemble(("Error: ", "bold red"), message))
