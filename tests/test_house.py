"""How the house is kept (docs/architecture.md): what import-linter cannot hold."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for part in ("ltbench", "plugins") for path in (ROOT / part).rglob("*.py"))

MOST_FILES = 16
"""In a room of ltbench; a package of plugins has one file a method or fuser."""

MOST_LINES = 400


def private_imports(path: Path) -> list[str]:
    """Names beginning with one underscore that a file imports from another of ours."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("ltbench")):
            names = [alias.name for alias in node.names]
            found += [f"{path.name}:{node.lineno}: {name}" for name in names if name.startswith("_")]
    return found


def test_no_file_imports_a_private_name_of_another() -> None:
    assert [found for path in SOURCES for found in private_imports(path)] == []


def test_a_private_import_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "borrowing.py"
    path.write_text("from ltbench.method import Method, _hidden\nfrom os import _exit\n")
    assert private_imports(path) == ["borrowing.py:1: _hidden"]


@pytest.mark.parametrize(
    "room", sorted({path.parent for path in SOURCES if path.relative_to(ROOT).parts[0] == "ltbench"})
)
def test_a_room_can_be_seen_at_a_glance(room: Path) -> None:
    files = [path for path in SOURCES if path.parent == room]
    assert len(files) <= MOST_FILES
    assert [path.name for path in files if path.read_text(encoding="utf-8").count("\n") > MOST_LINES] == []
