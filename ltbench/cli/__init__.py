"""The command line. :func:`main` is what ``ltbench`` and ``python -m ltbench`` call."""

import contextlib
import sys
import traceback
from collections.abc import Sequence

import rich_click as click

from ltbench.cli.group import Session, cli
from ltbench.cli.signals import end_as_interrupted
from ltbench.cli.streams import give_up_output, open_standard_streams, output_failed
from ltbench.common.terminal import harmless_streams
from ltbench.engine.machine.world import is_launched, is_main
from ltbench.errors import DataError, Interrupted, LtbenchError, StopRun, UsageError, out_of_memory

INTERRUPTED = 130
BROKEN_PIPE = 1

_PEER_IS_GONE = ("connection closed by peer", "connection reset by peer", "remote process exited")


def main() -> None:
    """Run the command line of this process and end it with its exit code."""
    open_standard_streams()
    end_as_interrupted()
    code = invoke(sys.argv[1:])
    if "torch" in sys.modules:
        from ltbench.engine.machine.compute import leave

        leave(code)
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. An error costs a line on stderr (``--debug``: a traceback, too)."""
    if sys.stdout is None:
        _print_error("standard output is closed; send it to /dev/null if nobody is to read it.")
        return LtbenchError.exit_code
    with harmless_streams():
        return _invoke(arguments)


def _invoke(arguments: Sequence[str]) -> int:
    session = Session()
    try:
        code = cli.main(arguments, prog_name="ltbench", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except BrokenPipeError:
        give_up_output()
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort) as error:
        return _interrupted(error)
    except Exception as error:
        if session.debug:
            traceback.print_exception(error)
        return _explain(error)
    return code if isinstance(code, int) else 0


def _interrupted(error: BaseException) -> int:
    """Exit code as shells have it: 128 + the signal's number. Processes of ``--num-processes`` leave the line to their parent."""
    cause = error.__context__ if isinstance(error, click.Abort) else error  # click raises its own in the place of ours
    if isinstance(cause, EOFError):
        return _explain(cause)
    if not is_launched():
        _print_error("interrupted.")
    return 128 + cause.signal if isinstance(cause, Interrupted) else INTERRUPTED


def _explain(error: Exception) -> int:
    if no_memory := out_of_memory(error):
        error = no_memory
    if isinstance(error, StopRun):
        if is_main():
            _print_error(f"{error} The same command goes on from here.", "Stopped")
        return error.exit_code
    if isinstance(error, LtbenchError):
        if not (is_launched() and _lost_a_process(error)):
            _print_error(str(error))
        return error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" See '{context.command_path} --help'." if context else ""
        message = " ".join(error.format_message().split())
        _print_error(message + ("" if message.endswith((".", "?")) else ".") + hint)
        return UsageError.exit_code
    if isinstance(error, OSError):
        return _explain_refusal(error)
    message = " ".join(str(error).split()).rstrip(".")
    _print_error(
        f"unexpected {type(error).__name__}: {message}. This is a bug in ltbench or in a plugin; "
        "run it again as 'ltbench --debug ...' for the traceback."
    )
    return LtbenchError.exit_code


def _explain_refusal(error: OSError) -> int:
    """What the operating system refuses: a file or folder, by its name, or standard output, which is full."""
    reason = error.strerror or " ".join(str(error).split())
    if output_failed():
        give_up_output()
        _print_error(f"standard output cannot be written: {reason}.")
        return LtbenchError.exit_code
    _print_error(f"{error.filename}: {reason}." if error.filename else f"the system refuses: {reason}.")
    return DataError.exit_code


def _lost_a_process(error: BaseException | None) -> bool:
    """Whether this process fails because another one of the run has ended, which says itself why."""
    while error is not None:
        if any(sign in str(error).lower() for sign in _PEER_IS_GONE):
            return True
        error = error.__cause__
    return False


def _print_error(message: str, what: str = "Error") -> None:
    from rich.text import Text

    from ltbench.common.terminal import console

    with contextlib.suppress(OSError):  # standard error may be full, too
        console(stderr=True, soft_wrap=True).print(Text.assemble((f"{what}: ", "bold red"), message))
