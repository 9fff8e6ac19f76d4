"""Examples and shipped plugins use documented names alone; the examples are short."""

import ast
import re
from pathlib import Path

import pytest

from ltbench.reference.public import is_private, is_public

from .table import FILES

PLUGINS = Path(__file__).parents[2] / "plugins"

MOST_LINES = 60


def not_public(source: str) -> list[str]:
    """What a plugin imports of ltbench, or of another plugin, and should not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("ltbench"):
                found += [f"{module}:{each.name}" for each in names if not is_public(module, each.name)]
            case ast.Import(names=names):
                found += [each.name for each in names if each.name.startswith("ltbench")]
    return found


def undocumented(source: str) -> list[str]:
    """What a plugin's source uses and should not: names that are not public, and private names of whatever it may be."""
    found = not_public(source)
    for node in ast.walk(ast.parse(source)):
        match node:
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


@pytest.mark.parametrize("package", ["ltbench_datasets", "ltbench_fusers", "ltbench_methods", "ltbench_zoo"])
def test_a_shipped_plugin_uses_documented_names_alone(package: str) -> None:
    files = sorted((PLUGINS / package).rglob("*.py"))
    used = [(file.name, name) for file in files for name in not_public(file.read_text(encoding="utf-8"))]
    assert [(file, name) for file, name in used if not re.match(rf"{package}\b", name)] == []
    assert files


@pytest.mark.parametrize(
    "line",
    [
        "from ltbench.engine.context import StageContext",
        "from ltbench_methods.baseline import Baseline",
        "from ltbench.training.step import _names_features",
        "from ltbench.training.step import takes_features",
        "from ltbench.engine import context",
        "from ltbench.method import F",
        "import ltbench.registry.manager",
        "step._engine",
        "def _fit(members): ...",
    ],
)
def test_what_is_not_documented_is_seen(line: str) -> None:
    assert len(undocumented(line)) == 1
