"""``ltbench show`` and the hyperparameters it prints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from manager.modules import registering
from pydantic import BaseModel, Field

from ltbench.cli import invoke
from ltbench.plugin import FuserSpec, MethodSpec
from ltbench.settings.hyperparameters import hyperparameters

pytestmark = pytest.mark.usefixtures("having_also")

Captured = pytest.CaptureFixture[str]


class Inner(BaseModel):
    rate: float = Field(0.1, gt=0, description="how fast")
    steps: int = 3


class Settings(BaseModel):
    needed: int = Field(ge=2, description="no default")
    mode: Literal["a", "b"] = "a"
    path: Path | None = None
    inner: Inner = Inner(rate=0.5)
    perhaps: Inner | None = None
    keyed: dict[str, Inner] = {}
    made: list[int] = Field(default_factory=lambda: [1, 2])


def test_nested_settings_are_flattened_with_the_defaults_in_force() -> None:
    found = {parameter.name: parameter for parameter in hyperparameters(Settings)}
    assert list(found) == [
        "needed",
        "mode",
        "path",
        "inner.rate",
        "inner.steps",
        "perhaps",
        "perhaps.rate",
        "perhaps.steps",
        "keyed",
        "keyed.<name>.rate",
        "keyed.<name>.steps",
        "made",
    ]
    assert (found["needed"].required, found["needed"].type, found["needed"].meaning) == (
        True,
        "an integer >= 2",
        "no default",
    )
    assert (found["mode"].type, found["mode"].default) == ("one of 'a', 'b'", "a")
    assert found["inner.rate"].default == 0.5  # the outer default's, not the field's own
    assert found["inner.rate"].type == "a number > 0"
    assert found["keyed.<name>.rate"].default == 0.1
    assert (found["made"].default, found["made"].required) == ([1, 2], False)
    assert (found["path"].type, found["path"].default) == ("a path", None)


def test_a_method_is_shown_with_every_hyperparameter(capsys: Captured) -> None:
    assert invoke(["show", "experts"]) == 0
    printed = capsys.readouterr().out
    for expected in (
        "experts  method",
        "Sec. 3",
        "ltbench 1.0",
        "ltbench_methods.experts:Experts",
        "recipe experts.toml",
    ):
        assert expected in printed
    (line,) = [line for line in printed.splitlines() if line.split()[:1] == ["reject_ratio"]]
    words = line.split("  ", 1)[1].split()
    assert words[:6] == ["reject_ratio", "a", "number", ">", "0", "16.0"]
    assert words[6:12] == ["rho:", "outside", "samples", "are", "undersampled", "to"]

    assert invoke(["show", "experts", "--json"]) == 0
    (about,) = json.loads(capsys.readouterr().out)
    from ltbench_methods.experts import Experts

    assert {p["name"].split(".")[0] for p in about["hyperparameters"]} == set(Experts.Config.model_fields)
    assert about["requires"] == ["baseline"]


def test_a_dataset_is_shown_with_its_options(capsys: Captured) -> None:
    assert invoke(["show", "glyphs-lt"]) == 0
    printed = capsys.readouterr().out
    assert "glyphs-lt  dataset" in printed
    assert "Training images of the rarest class." in printed


def test_a_name_of_two_things_shows_both(having_also: Callable[..., None], capsys: Captured) -> None:
    having_also(
        registering(
            MethodSpec("joint", target="ltbench_methods.baseline:Baseline"),
            MethodSpec("baseline", target="ltbench_methods.baseline:Baseline"),
            distribution="theirs",
        )
    )
    assert invoke(["show", "joint", "--json"]) == 0
    kinds = [(about["kind"], about["provider"]["distribution"]) for about in json.loads(capsys.readouterr().out)]
    assert kinds == [("method", "theirs"), ("fuser", "ltbench")]
    assert invoke(["show", "baseline", "--json"]) == 0
    names = [about["name"] for about in json.loads(capsys.readouterr().out)]
    assert names == ["ltbench:baseline", "theirs:baseline"]


def test_an_unknown_name_gets_a_suggestion(capsys: Captured) -> None:
    assert invoke(["show", "glyps-lt"]) == 2
    assert "nothing is called 'glyps-lt'. Did you mean 'glyphs-lt'?" in capsys.readouterr().err


def test_a_class_that_cannot_be_imported_is_the_plugins_fault(
    having_also: Callable[..., None], capsys: Captured
) -> None:
    having_also(registering(FuserSpec("lost", target="nowhere_at_all:Lost"), distribution="theirs"))
    assert invoke(["show", "lost"]) == 3
    assert "No module named 'nowhere_at_all'" in capsys.readouterr().err
