"""Controls of a method: they come along with it, with its settings, and are evaluated alone."""

from collections.abc import Callable

import pytest

from ltbench.engine.planning import evaluations_of
from ltbench.errors import UsageError
from ltbench.plugin import FuserSpec, MethodSpec
from ltbench.registry.manager import Plugins
from ltbench.settings.recipes import resolve

from .fakes import Base, Mean, Narrow, Variant, registered, target

Recipe = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def with_controls(plugins: Plugins) -> None:
    """``treated`` has all of Base's settings and one more; ``plain`` has Base's alone, ``other`` none that it has."""
    specs = [
        MethodSpec("treated", target=target(Variant), requires=("base",), controls=("plain", "other")),
        MethodSpec("plain", target=target(Base), requires=("base",), recipe="treated"),
        MethodSpec("other", target=target(Narrow), requires=("base",)),
    ]
    registered(specs, into=plugins)


def test_controls_are_trained_and_evaluated_beside_their_method() -> None:
    found = resolve(methods=["treated"], fusers=["mean"], dataset="bare")
    assert found.order == ["base", "treated", "plain", "other"]
    assert found.config.methods == ("treated",)
    evaluations = {(e.methods, e.fuser): e.role for e in evaluations_of(found)}
    assert evaluations == {
        (("base",), "none"): "reference",
        (("base",), "scale"): "control",
        (("plain",), "none"): "control",
        (("other",), "none"): "control",
        (("treated",), "none"): "run",
        (("treated",), "mean"): "run",
    }
    assert [e.methods for e in evaluations_of(found) if not e.beside] == [("treated",)]


def test_a_control_alone_is_an_ordinary_method() -> None:
    found = resolve(methods=["plain"], dataset="bare")
    assert found.order == ["base", "plain"]
    assert [e.role for e in evaluations_of(found) if e.methods == ("plain",)] == ["run"]


def test_in_an_ensemble_the_controls_stay_out_of_the_fused_posterior() -> None:
    found = resolve(methods=["base", "treated"], fusers=["mean"], dataset="bare")
    assert [e.methods for e in evaluations_of(found) if not e.beside] == [("base", "treated")]


def test_settings_of_the_method_hold_for_its_controls(recipe: Recipe) -> None:
    recipe("treated", "[treated.optim]\nepochs = 7")
    overrides = ["treated.gamma=3", "treated.optim.lr=0.5", "other.strength=2"]
    found = resolve(methods=["treated"], dataset="letters", overrides=overrides)
    plain = found.method_configs["plain"].optim  # type: ignore[attr-defined]
    assert (plain.epochs, plain.lr, plain.patience) == (7, 0.5, 15)  # the recipe's, --set's, its own default
    assert found.sources["plain.optim.lr"] == "--set"
    assert found.method_configs["other"].model_dump() == {"strength": 2.0}


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_what_is_said_of_the_control_itself_counts_more(order: list[int]) -> None:
    overrides = ["treated.optim.lr=0.5", "plain.optim.lr=0.25"]
    found = resolve(methods=["treated"], dataset="bare", overrides=[overrides[i] for i in order])
    assert found.method_configs["plain"].optim.lr == 0.25  # type: ignore[attr-defined]
    assert found.method_configs["treated"].optim.lr == 0.5  # type: ignore[attr-defined]


def test_a_control_of_two_distributions_is_the_methods_own(plugins: Plugins) -> None:
    registered(
        [MethodSpec("plain", target=target(Narrow)), FuserSpec("extra", target=target(Mean))], "elsewhere", plugins
    )
    assert resolve(methods=["treated"], dataset="bare").order == ["base", "treated", "tests:plain", "other"]


def test_a_control_that_is_not_there_is_named(plugins: Plugins) -> None:
    registered([MethodSpec("lonely", target=target(Base), controls=("plane",))], into=plugins)
    with pytest.raises(UsageError, match="plane.*Did you mean 'plain'"):
        resolve(methods=["lonely"], dataset="bare")
