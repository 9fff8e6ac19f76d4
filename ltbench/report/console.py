"""The console that tables are printed on."""

import os
import sys
from typing import TYPE_CHECKING

from ltbench.common import terminal

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 160
"""Columns where standard output is no terminal, so that rows stay on one line for grep."""


def console() -> "Console":
    """Standard output, as wide as the terminal or ``COLUMNS`` say; text is shown as it is, brackets are no markup."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return terminal.console(width=PIPED_WIDTH if piped else None)
