"""A small registry, recipes in a folder of the test's own, and nothing of what ltbench ships."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ltbench.plugin import DatasetSpec, FuserSpec, MethodSpec, Spec
from ltbench.registry import manager
from ltbench.registry.manager import Plugins

from .fakes import Base, Letters, Mean, Narrow, Needy, Scale, Split, Variant, registered, target


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    specs: list[Spec] = [
        MethodSpec("base", target=target(Base)),
        MethodSpec("split", target=target(Split), requires=("base",)),
        MethodSpec("variant", target=target(Variant), recipe="base"),
        MethodSpec("narrow", target=target(Narrow), recipe="variant"),
        MethodSpec("needy", target=target(Needy)),
        FuserSpec("mean", target=target(Mean)),
        FuserSpec("scale", target=target(Scale), control=True),
        DatasetSpec("letters", target=target(Letters), recipes="letters_plugin:recipes"),
        DatasetSpec("bare", target=target(Letters)),
    ]
    found = registered(specs)
    monkeypatch.setattr(manager, "_loaded", found)
    return found


@pytest.fixture
def recipe(plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Writes a recipe of the dataset ``letters``: ``recipe("base", "[base]...")``."""
    folder = tmp_path / "site" / "letters_plugin" / "recipes"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def write(method: str, text: str) -> None:
        (folder / f"{method}.toml").write_text(text)

    yield write
    sys.modules.pop("letters_plugin", None)
