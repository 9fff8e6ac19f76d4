"""The command line in this process, with the plugins that ltbench ships and those a test adds."""

from collections.abc import Callable
from pathlib import Path

import ltbench_datasets
import ltbench_fusers
import ltbench_methods
import pytest
from manager.modules import having

from ltbench.cli.group import cli
from ltbench.registry import manager
from ltbench.registry.discovery import Candidate

SHIPPED = {"datasets": ltbench_datasets, "fusers": ltbench_fusers, "methods": ltbench_methods}


@pytest.fixture
def having_also(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Makes the shipped plugins and the given ones all that is installed; the cache is empty."""

    def install(*candidates: Candidate) -> None:
        shipped = [having(name, "ltbench", **vars(module)) for name, module in SHIPPED.items()]
        monkeypatch.setattr(manager, "from_entry_points", lambda: [*shipped, *candidates])
        monkeypatch.setattr(manager, "_loaded", None)
        monkeypatch.setattr(manager, "_files", ())

    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(cli, "commands", dict(cli.commands))
    install()
    return install
