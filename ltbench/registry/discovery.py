"""Where plugins come from: the entry points of installed distributions, and files named by the user."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ltbench.plugin import ENTRY_POINT_GROUP
from ltbench.registry.lookup import PluginRecord, normalized


@dataclass(frozen=True)
class Candidate:
    """A plugin that was found. ``load`` imports it and may raise anything."""

    record: PluginRecord
    load: Callable[[], object]


def from_entry_points() -> list[Candidate]:
    """One for each entry point of the group ``ltbench``, ordered by distribution. Imports none of them."""
    found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: normalized(_distribution(entry)[0]))
    return [Candidate(PluginRecord(entry.name, *_distribution(entry), entry.value), entry.load) for entry in found]


def from_file(path: Path) -> Candidate:
    """A Python file. Its module is named like the file, so that its specs can name targets as ``file_name:Class``."""
    path = path.resolve()
    return Candidate(PluginRecord(path.stem, path.name, "", str(path)), partial(_import_file, path))


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")


def _import_file(path: Path) -> object:
    name = path.stem
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    if path.suffix != ".py" or not name.isidentifier():
        raise ImportError(f"{path.name} is no name of a Python module: use letters, digits and '_', ending in .py")
    existing = importlib.util.find_spec(name)
    if existing is not None and existing.origin != str(path):
        raise ImportError(f"a module named '{name}' exists already; give the file another name")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
