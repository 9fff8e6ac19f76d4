"""Everything that is printed passes one of two gates, so that no text can command the terminal.

:class:`Console` shows what rich draws: its own colours and cursor, but of the text only what :func:`visible` leaves, and no
markup or emoji codes inside of it. :func:`harmless_streams` filters whatever else is written: ``click.echo``, ``print``,
tracebacks, warnings, the prints of libraries and plugins.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from ltbench.common.escaping import visible

if TYPE_CHECKING:
    from rich.console import Console


def console(**options: Any) -> "Console":
    """A rich console that prints text literally; ``options`` as rich's. rich is imported only now."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class LiteralConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    return LiteralConsole(**{"markup": False, "emoji": False, "highlight": False, **options})


class Filtered:
    """A text stream that takes only what :func:`visible` leaves.

    Args:
        stream: where it goes.
        keep: harmful characters that pass nevertheless.
    """

    def __init__(self, stream: TextIO, keep: str = "") -> None:
        self.rich_proxied_file = stream  # rich writes there: what a console drew must not be filtered again
        self._keep = keep

    def write(self, text: str) -> int:
        kept = [visible(part) for part in text.split(self._keep)] if self._keep else [visible(text)]
        self.rich_proxied_file.write(self._keep.join(kept))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def harmless_streams() -> Iterator[None]:
    """Filter standard output and error inside. A carriage return passes on stderr: bars of downloads need it."""
    before = sys.stdout, sys.stderr
    # None: a process without a terminal or files, as a window's own
    sys.stdout = Filtered(before[0]) if before[0] is not None else before[0]
    sys.stderr = Filtered(before[1], keep="\r") if before[1] is not None else before[1]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
