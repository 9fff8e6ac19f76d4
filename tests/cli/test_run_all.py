"""``ltbench run --method all``: the methods that say they take part."""

import json
from pathlib import Path

import pytest
from tiny import DATA

from ltbench.plugin import MethodSpec

JOINING = """
from ltbench.plugin import MethodSpec, hookimpl

@hookimpl
def ltbench_methods():
    yield MethodSpec("mine", target="ltbench_methods.baseline:Baseline", recipe="baseline", ensemble=True)
    yield MethodSpec("apart", target="ltbench_methods.baseline:Baseline", recipe="baseline")
"""


def methods(done) -> list[str]:
    assert done.code == 0, done.err
    return json.loads(done.out)["config"]["methods"]


def test_all_is_the_paper_s_ensemble_and_whoever_joins(ltb, tmp_path: Path) -> None:
    paper = ["baseline", "experts", "uniform", "gan", "prototype"]
    plan = ["run", "-f", "joint", *DATA, "--dry-run", "--json"]
    assert methods(ltb(*plan, "-m", "all")) == paper
    assert methods(ltb(*plan, "-m", "all", "-m", "gan")) == paper
    plugin = tmp_path / "joining.py"
    plugin.write_text(JOINING)
    assert methods(ltb("--plugin", plugin, *plan, "-m", "all")) == [*paper, "mine"]


def test_no_method_may_take_the_name() -> None:
    with pytest.raises(ValueError, match="'all' stands for all methods"):
        MethodSpec("all", target="module:Class")
