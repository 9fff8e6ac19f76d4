"""Every method of the zoo: the baseline's budget on glyphs-lt, a paragraph in docs/methods.md, documented names.

The public contract suite runs on them in tests/test_registered.py, as on everything that is registered.
"""

from pathlib import Path

import ltbench_zoo
import pytest
from examples.test_names import undocumented

from ltbench.registry.manager import plugins
from ltbench.settings.recipes import resolve

SPECS = {spec.name: spec for spec in ltbench_zoo.ltbench_methods()}
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


FROZEN = ("lift",)
"""Methods for a network of their own, which does not learn."""


@pytest.mark.parametrize("name", SPECS)
def test_it_shares_the_baselines_budget_on_glyphs(name: str) -> None:
    """One backbone, augmentation, precision; as many epochs of the same batches wherever the backbone learns."""
    ours, theirs = (resolve(methods=[method], dataset="glyphs-lt") for method in (name, "baseline"))
    assert ours.notes == []
    for part in ("augment", "mixing", "compute", *([] if name in FROZEN else ["backbone"])):
        assert getattr(ours.config, part) == getattr(theirs.config, part)
    if not SPECS[name].requires and name not in FROZEN:
        assert ours.method_configs[name].optim == theirs.method_configs["baseline"].optim  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SPECS)
def test_it_says_where_it_comes_from(name: str) -> None:
    assert SPECS[name].paper
    assert SPECS[name].summary
    assert f"## {name}\n" in PAGE.read_text(encoding="utf-8")
    assert plugins().methods.load(name).__doc__


@pytest.mark.parametrize("file", sorted(Path(ltbench_zoo.__file__).parent.glob("*.py")), ids=lambda file: file.stem)
def test_it_is_short_and_uses_documented_names_alone(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert [name for name in undocumented(source) if not name.startswith("ltbench_zoo.")] == []
    assert file.stem == "__init__" or len(source.splitlines()) <= 120
