"""The text about each method, written by hand beside its code: a section of ``methods.md`` in the package that provides it."""

import re
from functools import cache
from importlib.resources import files

from ltbench.plugin import FuserSpec, MethodSpec
from ltbench.registry.manager import plugins
from ltbench.reproduction.reported import reported_tables

FILE_NAME = "methods.md"

_HEADING = re.compile(r"^## +(\S+) *$", re.MULTILINE)


def paragraph(name: str) -> str:
    """Markdown about a method or fuser: its section, else its summary; empty where it is not installed."""
    spec = _spec(name)
    if spec is None:
        return ""
    return _sections(spec.target.partition(".")[0].partition(":")[0]).get(name) or spec.summary


def source(name: str) -> str:
    """Where it comes from, as its plugin says; a section or table alone is one of the paper's."""
    spec = _spec(name)
    paper = spec.paper if spec is not None else ""
    return f"{reported_tables()['source']}, {paper}" if paper.startswith(("Sec.", "Table")) else paper


def _spec(name: str) -> MethodSpec | FuserSpec | None:
    if name in plugins().methods.names():
        return plugins().methods.get(name).spec
    return plugins().fusers.get(name).spec if name in plugins().fusers.names() else None


@cache
def _sections(package: str) -> dict[str, str]:
    """Name -> text below its heading."""
    try:
        text = (files(package) / FILE_NAME).read_text(encoding="utf-8")
    except (OSError, ImportError, TypeError):  # a plugin file, or a package that writes none
        return {}
    _, *parts = _HEADING.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
