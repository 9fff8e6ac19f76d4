"""What stands beside a run: references with the run's settings, each method alone; and nothing where that is not wanted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ltbench.engine.planning import evaluations_of
from ltbench.errors import UsageError
from ltbench.plugin import FuserSpec, MethodSpec
from ltbench.registry.manager import Plugins
from ltbench.settings.recipes import Resolved, resolve

from .fakes import Base, Mean, Narrow, Variant, registered, target

Recipe = Callable[[str, str], None]
Row = tuple[tuple[str, ...], str]


@pytest.fixture(autouse=True)
def with_a_reference(plugins: Plugins) -> None:
    """``plain`` is the reference; ``loss`` does not start from it, ``second`` starts from ``loss``, ``late`` from ``plain``."""
    specs = [
        MethodSpec("plain", target=target(Base), reference=True),
        MethodSpec("loss", target=target(Variant)),
        MethodSpec("second", target=target(Variant), requires=("loss",)),
        MethodSpec("late", target=target(Variant), requires=("plain",)),
        MethodSpec("parts", target=target(Narrow), partial=True),
    ]
    registered(specs, into=plugins)


def rows(found: Resolved) -> dict[Row, tuple[str, bool]]:
    return {(one.methods, one.fuser): (one.role, one.beside) for one in evaluations_of(found)}


REFERENCE: dict[Row, tuple[str, bool]] = {
    (("plain",), "none"): ("reference", True),
    (("plain",), "scale"): ("control", True),
}


def test_a_reference_stands_beside_a_method_that_does_not_start_from_it() -> None:
    found = resolve(methods=["narrow"], dataset="bare")
    assert found.order == ["narrow", "plain"]
    assert rows(found) == REFERENCE | {(("narrow",), "none"): ("run", False)}


def test_what_is_asked_for_comes_last_and_each_method_of_it_alone_before() -> None:
    found = rows(resolve(methods=["late", "narrow", "parts"], fusers=["mean"], dataset="bare"))
    assert found == REFERENCE | {
        (("late",), "none"): ("run", True),
        (("narrow",), "none"): ("run", True),
        (("late", "narrow", "parts"), "mean"): ("run", False),
    }
    assert list(found)[-1] == (("late", "narrow", "parts"), "mean")


def test_a_reference_that_is_asked_for_is_no_row_twice() -> None:
    found = rows(resolve(methods=["plain"], fusers=["mean", "scale"], dataset="bare"))
    assert found == {
        (("plain",), "none"): ("reference", True),
        (("plain",), "scale"): ("control", False),
        (("plain",), "mean"): ("run", False),
    }


@pytest.mark.parametrize(("asked", "role"), [("plain", "reference"), ("narrow", "run")])
def test_without_controls_what_is_asked_for_is_all_in_the_role_that_it_has_with_them(asked: str, role: str) -> None:
    found = resolve(methods=[asked], dataset="bare", controls=False)
    assert found.order == [asked]
    assert rows(found) == {((asked,), "none"): (role, False)}
    assert "scale" not in found.fuser_configs
    assert rows(resolve(methods=[asked], dataset="bare"))[(asked,), "none"] == (role, False)


def test_a_file_may_do_without_controls(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("controls = false")
    found = resolve(methods=["narrow"], dataset="bare", config_files=[tmp_path / "run.toml"])
    assert not found.config.controls
    assert found.order == ["narrow"]
    assert found.sources["controls"] == str(tmp_path / "run.toml")


def test_what_is_set_of_the_stage_that_the_run_starts_from_holds_for_the_reference() -> None:
    overrides = [
        "second.optim.epochs=3",
        "loss.optim.epochs=5",
        "loss.gamma=4",
        "loss.optim.lr=0.5",
        "plain.optim.lr=0.25",
    ]
    found = resolve(methods=["second"], dataset="bare", overrides=overrides)
    plain = found.method_configs["plain"].optim  # type: ignore[attr-defined]
    assert (plain.epochs, plain.lr, plain.patience) == (5, 0.25, 15)  # of loss, its own, its default
    assert found.method_configs["second"].optim.epochs == 3  # type: ignore[attr-defined]


def test_a_method_that_starts_from_the_reference_decides_nothing_of_it() -> None:
    found = resolve(methods=["late"], dataset="bare", overrides=["late.optim.epochs=5"])
    assert found.method_configs["plain"].optim.epochs == 100  # type: ignore[attr-defined]


def test_the_recipe_of_a_reference_says_nothing_of_the_run(recipe: Recipe) -> None:
    recipe("plain", "[augment]\nshift = 7\n[plain.optim]\nepochs = 9\n[narrow]\nstrength = 5.0")
    recipe("narrow", "[narrow]\nstrength = 2.0")
    beside, alone = (resolve(methods=["narrow"], dataset="letters", controls=wanted) for wanted in (None, False))
    assert beside.method_configs["plain"].optim.epochs == 9  # type: ignore[attr-defined]
    assert beside.config.augment == alone.config.augment
    assert beside.method_configs["narrow"] == alone.method_configs["narrow"]
    assert resolve(methods=["plain"], dataset="letters").config.augment.shift == 7


def test_a_reference_that_takes_no_part_has_no_settings() -> None:
    with pytest.raises(UsageError, match="'plain' takes no part in this run"):
        resolve(methods=["narrow"], dataset="bare", overrides=["plain.optim.lr=0.5"], controls=False)


def test_a_reference_that_cannot_be_loaded_is_left_out_with_a_note(plugins: Plugins) -> None:
    registered([MethodSpec("gone", target="nowhere_at_all:Gone", reference=True)], "elsewhere", plugins)
    found = resolve(methods=["narrow"], dataset="bare")
    assert found.order == ["narrow", "plain"]
    assert any(note.startswith("no reference 'gone' beside this run: ") for note in found.notes)


def test_the_hash_of_a_run_tells_whether_controls_stand_beside_it_and_no_plugin_file() -> None:
    asked = {"methods": ["late"], "fusers": ["scale"], "dataset": "bare"}
    beside, alone = (resolve(**asked, controls=wanted) for wanted in (True, False))
    assert beside.config.settings == alone.config.settings
    assert beside.hash == resolve(**asked).hash != alone.hash


def test_plugins_are_a_setting_of_python_alone(tmp_path: Path, plugins: Plugins) -> None:
    registered([FuserSpec("extra", target=target(Mean))], "elsewhere", plugins)
    (tmp_path / "run.toml").write_text('plugins = ["mine.py"]')
    with pytest.raises(UsageError, match="'plugins'.*--plugin FILE"):
        resolve(methods=["narrow"], dataset="bare", config_files=[tmp_path / "run.toml"])
