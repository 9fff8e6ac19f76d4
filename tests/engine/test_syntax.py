"""The hash of a source: what people read does not change it, what a computer reads does."""

import ast
from pathlib import Path

import pytest

from ltbench.engine.keys.syntax import read_syntax

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for part in ("ltbench", "plugins") for path in (ROOT / part).rglob("*.py"))

USUAL = '''"""A module."""

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from somewhere import Thing

WIDTH = 3
"""Of the thing."""


class Config(BaseModel):
    lr: float = Field(default=0.1, gt=0, description="how fast")


def scale(values: "Thing", by=2.0):
    """Scaled."""
    return torch.mul(values, by * WIDTH)
'''

UNREAD = {
    "comment": ("WIDTH = 3", "# a comment\nWIDTH = 3  # another"),
    "docstring of the module": ('"""A module."""', '"""Other words."""'),
    "no docstring": ('    """Scaled."""\n', ""),
    "docstring of a function": ('"""Scaled."""', '"""Other words."""'),
    "text below an attribute": ('"""Of the thing."""', ""),
    "formatting": ("by * WIDTH)", "(by\n        * WIDTH))"),
    "quotes": ('"how fast"', "'how fast'"),
    "description of a setting": ('"how fast"', '"how fast it goes"'),
    "import for type checkers": ("from somewhere import Thing", "from elsewhere import Other, Thing"),
}


@pytest.mark.parametrize("what", UNREAD)
def test_what_people_read_does_not_count(what: str) -> None:
    old, new = UNREAD[what]
    assert old in USUAL
    assert read_syntax(USUAL.replace(old, new).encode()).digest == read_syntax(USUAL.encode()).digest


READ = {
    "constant": ("WIDTH = 3", "WIDTH = 4"),
    "type of a constant": ("WIDTH = 3", "WIDTH = 3.0"),
    "text in place of a number": ("WIDTH = 3", "WIDTH = '3'"),
    "default of a setting": ("default=0.1", "default=0.2"),
    "bound of a setting": ("gt=0", "ge=0"),
    "default of an argument": ("by=2.0", "by=2.5"),
    "operator": ("by * WIDTH", "by + WIDTH"),
    "name that is called": ("torch.mul", "torch.add"),
    "order of arguments": ("values, by * WIDTH", "by * WIDTH, values"),
    "decorator": ("def scale", "@torch.no_grad()\ndef scale"),
    "import": ("import torch\n", "import other as torch\n"),
    "base class": ("Config(BaseModel)", "Config(BaseModel, frozen=True)"),
    "statement": ("    return", "    values = values + 1\n    return"),
    "block for type checkers that runs": ("if TYPE_CHECKING", "if not TYPE_CHECKING"),
}


@pytest.mark.parametrize("what", READ)
def test_what_a_computer_reads_counts(what: str) -> None:
    old, new = READ[what]
    assert old in USUAL
    assert read_syntax(USUAL.replace(old, new).encode()).digest != read_syntax(USUAL.encode()).digest


def test_all_that_were_changed_differ_from_each_other() -> None:
    digests = {read_syntax(USUAL.replace(old, new).encode()).digest for old, new in READ.values()}
    assert len(digests) == len(READ)


class _Undocumented(ast.NodeTransformer):
    """Takes out docstrings and other bare texts; written independently of the code under test."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.copy_location(ast.Pass(), node) if is_text else node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_comment_docstring_or_line_break_of_the_project_counts(path: Path) -> None:
    source = path.read_bytes()
    bare = ast.unparse(_Undocumented().visit(ast.parse(source)))
    assert read_syntax(bare.encode()).digest == read_syntax(source).digest


class _Raised(ast.NodeTransformer):
    """Adds one to the last number, and says whether there was one."""

    def __init__(self, tree: ast.Module) -> None:
        numbers = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, int | float)
            and not isinstance(node.value, bool)
        ]
        self.last = numbers[-1] if numbers else None

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(node.value + 1) if node is self.last else node  # type: ignore[operator]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_number_of_the_project_counts(path: Path) -> None:
    source = path.read_bytes()
    tree = ast.parse(source)
    raised = _Raised(tree)
    if raised.last is not None:
        changed = ast.unparse(raised.visit(tree))
        assert read_syntax(changed.encode()).digest != read_syntax(source).digest


def test_registering_another_method_does_not_count() -> None:
    one = "from ltbench.plugin import hookimpl\n@hookimpl\ndef ltbench_methods():\n    yield MethodSpec('a', target='p:A')\n"
    two = one + "    yield MethodSpec('b', target='p:B')\n"
    assert read_syntax(one.encode()).digest == read_syntax(two.encode()).digest
    watching = "from ltbench.plugin import hookimpl\n@hookimpl\ndef ltbench_before_run(run):\n    RATE = {}\n"
    assert read_syntax(watching.format(1).encode()).digest != read_syntax(watching.format(2).encode()).digest
    assert read_syntax(one.replace("@hookimpl\n", "").encode()).digest != read_syntax(one.encode()).digest


NAMES = {
    "import a.b": ("a.b",),
    "import a.b as c; c.d.e": ("a.b.d.e",),
    "import a; a.b.c(1)": ("a.b.c",),
    "from a import b, c as d": ("a.b", "a.c"),
    "from a import b\ndef f():\n    return b.c.d": ("a.b.c.d",),
    "from . import x": (".x",),
    "from .x import y": (".x.y",),
    "from ..x import y": ("..x.y",),
    "from a import *": ("a",),
    "def f():\n    import a.b": ("a.b",),
    "try:\n    import a\nexcept ImportError:\n    import b": ("a", "b"),
    "from importlib import import_module\nimport_module('a.b')": ("a.b", "importlib.import_module"),
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nelse:\n    import b": (
        "b",
        "typing.TYPE_CHECKING",
    ),
    "import typing\nif typing.TYPE_CHECKING:\n    import a": ("typing",),
}


@pytest.mark.parametrize("source", NAMES)
def test_names_that_a_source_imports(source: str) -> None:
    assert read_syntax(source.encode()).names == NAMES[source]


def test_an_expression_may_be_deep() -> None:
    assert read_syntax(("x = " + " + ".join(["1"] * 800)).encode()).digest


@pytest.mark.parametrize("source", [b"def", b"x = \0", b"\xff = 1"])
def test_what_is_no_python(source: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        read_syntax(source)
