"""Whatever is printed, by whom: the terminal is given text, and what rich itself draws with."""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import pytest
from rich.table import Table
from rich.text import Text

from ltbench.common.terminal import Filtered, console, harmless_streams
from ltbench.engine.machine.progress import Reporter
from ltbench.report.table import rich_table

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b1A\u202etxt"
SHOWN = "\\x1b]0;owned\\x07\\x1b[2J\\x9b1A\\u202etxt"
BY_RICH = SHOWN.replace("\\x07", "")
"""rich drops the bell by itself."""

SEQUENCES = re.compile("\x1b(\\[[0-9;?]*[A-Za-z]|.{8})")


@contextmanager
def streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What really reaches standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with harmless_streams():
            yield out, err


def test_print_and_echo() -> None:
    with streams() as (out, err):
        print(EVIL)
        click.echo(EVIL, color=True)
        print(f"bar\r{EVIL}", file=sys.stderr)
        sys.stderr.writelines([EVIL, "\n"])
    assert out.getvalue() == f"{SHOWN}\n" * 2
    assert err.getvalue() == f"bar\r{SHOWN}\n{SHOWN}\n"


def test_the_streams_are_given_back_even_after_an_error() -> None:
    before = sys.stdout, sys.stderr
    inside = []
    with suppress(KeyError), harmless_streams():
        inside += [sys.stdout, sys.stderr]
        raise KeyError
    assert all(isinstance(stream, Filtered) for stream in inside)
    assert (sys.stdout, sys.stderr) == before


def test_bytes_and_attributes_go_to_the_stream_itself(tmp_path) -> None:
    with (tmp_path / "file").open("w", encoding="utf-8") as file:
        filtered = Filtered(file)
        assert filtered.fileno() == file.fileno()
        assert filtered.encoding == "utf-8"
        with pytest.raises(TypeError):
            filtered.write(b"")  # type: ignore[arg-type]
        filtered.write("a\x1bb")
        filtered.flush()
    assert (tmp_path / "file").read_text() == "a\\x1bb"


def test_rich_draws_its_own_colours_and_shows_text_as_it_is() -> None:
    with streams() as (out, _):
        screen = console(force_terminal=True, color_system="standard", width=80)
        screen.print(Text(EVIL, style="red"))
        screen.print(f"[bold]{EVIL}[/] :smile: [link=http://a]x[/link]")
        made = Table(title=EVIL)
        made.add_column(f"[red]{EVIL}")
        made.add_row(EVIL)
        screen.print(made)
        screen.print(rich_table(EVIL, [EVIL], [[EVIL]]))
    text = out.getvalue()
    assert f"\x1b[31m{BY_RICH}\x1b[0m" in text
    assert f"[bold]{BY_RICH}[/] :smile: [link=http://a]x[/link]" in text
    assert f" {SHOWN} " in text  # our own tables make room for it
    assert set(SEQUENCES.findall(text)) <= {"[0m", "[1m", "[3m", "[31m", "[2;3m"}
    assert not {"\x9b", "\x07", "\u202e"} & set(text)


def test_progress_shows_labels_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with streams() as (_, err):
        reporter = Reporter()
        reporter.line(f"[red]{EVIL}")
        with reporter.working(f"[red]{EVIL}"), reporter.training(f"[bold]{EVIL}", 1, 2) as bar:
            bar.epoch(1, {"loss": 0.5})
    text = err.getvalue()
    assert f"[red]{BY_RICH}\n" in text
    assert "[bold]\\x1b]0" in text
    assert "]0;owned" not in {sequence[:8] for sequence in SEQUENCES.findall(text)}
    assert not {"\x9b", "\x07", "\u202e"} & set(text)
