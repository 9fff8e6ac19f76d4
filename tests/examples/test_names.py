"""The examples use documented names alone, and are short."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from .table import FILES

DOCUMENTED = {
    "ltbench.backbones.backbone",
    "ltbench.data.samplers",
    "ltbench.errors",
    "ltbench.backbones.forks",
    "ltbench.fuser",
    "ltbench.method",
    "ltbench.training.mixing",
    "ltbench.training.optim",
    "ltbench.plugin",
    "ltbench.posterior",
    "ltbench.training.step",
    "ltbench.training.request",
}
"""Modules that a method or a fuser is written against."""

PAGE = (FILES[0].parents[1] / "writing-a-plugin.md").read_text(encoding="utf-8")

MOST_LINES = 60


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def is_documented(module: str, name: str) -> bool:
    """Imported from there on the page, or with a docstring in that module, which defines it or lists it in ``__all__``."""
    if is_private(name):
        return False
    found = import_module(module)
    own = name in getattr(found, "__all__", ()) or getattr(getattr(found, name), "__module__", "") == module
    shown = re.search(rf"^from {re.escape(module)} import .*\b{name}\b", PAGE, re.MULTILINE)
    return bool(shown) or (own and bool(inspect.getdoc(getattr(found, name))))


def undocumented(source: str) -> list[str]:
    """What a plugin's source uses and should not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0].startswith("ltbench"):
                found += [
                    f"{module}:{each.name}"
                    for each in names
                    if module not in DOCUMENTED or not is_documented(module, each.name)
                ]
            case ast.Import(names=names):
                found += [each.name for each in names if each.name.startswith("ltbench")]
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                found += [name] if is_private(name) and name != "_" else []
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_uses_documented_names_alone_and_is_short(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert undocumented(source) == []
    docstring = ast.parse(source).body[0]
    assert docstring.end_lineno is not None
    assert len(source.splitlines()) - (docstring.end_lineno - docstring.lineno + 1) <= MOST_LINES


@pytest.mark.parametrize(
    "line",
    [
        "from ltbench.engine.context import StageContext",
        "from ltbench_methods.baseline import Baseline",
        "from ltbench.training.step import _names_features",
        "from ltbench.method import F",
        "import ltbench.registry.manager",
        "step._engine",
        "def _fit(members): ...",
    ],
)
def test_what_is_not_documented_is_seen(line: str) -> None:
    assert len(undocumented(line)) == 1
