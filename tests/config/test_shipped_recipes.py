"""Every recipe in ``configs/`` is complete, known to the classes it configures, and taken as it is written."""

from pathlib import Path

import ltbench_datasets
import ltbench_fusers
import ltbench_methods
import ltbench_zoo
import pytest

from ltbench.registry import manager
from ltbench.settings.layers import leaves, read_toml
from ltbench.settings.recipes import resolve

from .fakes import registered

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*/*.toml"))


@pytest.fixture(autouse=True)
def shipped_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = [*ltbench_methods.ltbench_methods(), *ltbench_zoo.ltbench_methods()]
    specs = [
        *ltbench_datasets.ltbench_datasets(),
        *methods,
        *ltbench_fusers.ltbench_fusers(),
        *ltbench_zoo.ltbench_fusers(),
    ]
    monkeypatch.setattr(manager, "_loaded", registered(specs))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_it_resolves_and_every_line_of_it_counts(file: Path) -> None:
    found = resolve(methods=[file.stem], dataset=file.parent.name.replace("_", "-"))
    assert found.notes == []
    written = [".".join(path) for path, _ in leaves(read_toml(file, "").values)]
    assert written
    assert {found.sources[key] for key in written} == {f"recipe {file.name}"}


def test_there_are_recipes_for_the_default_dataset() -> None:
    assert {file.stem for file in RECIPES if file.parent.name == "glyphs_lt"} >= {"baseline", "experts"}
