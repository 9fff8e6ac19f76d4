"""A dataset's suggestions: above the defaults, below everything else, said aloud; and another dataset's recipes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ltbench.config import BackboneConfig, RunConfig
from ltbench.data.suggestions import Asked, Suggestion
from ltbench.errors import PluginError, UsageError
from ltbench.plugin import DatasetSpec
from ltbench.registry.manager import Plugins
from ltbench.settings.recipes import Resolved, resolve, resolve_config

from .fakes import Letters, registered, target

Recipe = Callable[[str, str], None]


class Telling(Letters):
    """Suggests what the test says; remembers what it was asked."""

    says: ClassVar[list[Suggestion]] = []
    asked: ClassVar[list[tuple["Telling", Asked]]] = []

    def suggested_settings(self, asked: Asked) -> list[Suggestion]:
        Telling.asked.append((self, asked))
        return Telling.says


@pytest.fixture(autouse=True)
def telling(recipe: Recipe, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset ``telling``, which has the recipes of ``letters`` for its own."""
    registered([DatasetSpec("telling", target=target(Telling), recipes="letters_plugin:recipes")], into=plugins)
    monkeypatch.setattr(Telling, "asked", [])
    size = Suggestion({"augment": {"size": 28, "flip": True}}, "the images are small")
    optim = Suggestion({"base": {"optim": {"lr": 0.5, "batch_size": 32}}}, "they are few")
    stem = Suggestion({"backbone": {"kwargs": {"stem": 3}}}, "they are small")
    monkeypatch.setattr(Telling, "says", [size, stem, optim])


def run(**asked: Any) -> Resolved:
    return resolve(**{"dataset": "telling", "methods": ["base"], **asked})


def test_a_suggestion_beats_defaults_and_nothing_else(recipe: Recipe, tmp_path: Path) -> None:
    recipe("base", "[augment]\nflip = false\n[base.optim]\nlr = 0.2\n")
    file = tmp_path / "mine.toml"
    file.write_text("[base.optim]\nbatch_size = 64\n")
    found = run(config_files=[file], overrides=["backbone.kwargs.other=1"])
    keys = ("augment.size", "augment.flip", "base.optim.lr", "base.optim.batch_size", "base.optim.epochs")
    assert [found.sources[key] for key in keys] == [
        "suggested by telling",
        "recipe base.toml",
        "recipe base.toml",
        str(file),
        "default",
    ]
    optim = found.method_configs["base"].optim
    assert (found.config.augment.size, found.config.augment.flip) == (28, False)
    assert (optim.lr, optim.batch_size, optim.epochs) == (0.2, 64, 100)
    assert found.config.backbone.kwargs == {"stem": 3, "other": 1}


def test_what_counts_of_it_is_said_with_the_reason(recipe: Recipe) -> None:
    recipe("base", "[base.optim]\nlr = 0.2\nbatch_size = 64\n")
    assert run(overrides=["augment.flip=false"]).notes == [
        "suggested by telling, as the images are small: augment: size = 28.",
        "suggested by telling, as they are small: backbone.kwargs: stem = 3.",
    ]


def test_a_suggestion_about_another_backbone_is_dropped(recipe: Recipe) -> None:
    assert run().config.backbone == BackboneConfig(name="resnet10", kwargs={"stem": 3})
    assert run(backbone="resnet18").config.backbone == BackboneConfig(name="resnet18")
    recipe("base", '[backbone]\nname = "resnet50"\n')
    assert run().config.backbone == BackboneConfig(name="resnet50")
    assert not any("backbone" in note for note in run().notes)


def test_it_is_told_what_is_asked_for_and_of_all_trainings(recipe: Recipe) -> None:
    recipe("split", "[split.optim]\nepochs = 7\n")
    run(methods=["split"], overrides=["augment.size=64", "dataset.options.classes=7"], root=Path("/images"))
    ((dataset, asked),) = Telling.asked
    assert (dataset.options.classes, dataset.root) == (7, Path("/images"))
    assert asked.said("augment", "size") == 64
    assert asked.says("split", "optim", "epochs")
    assert not asked.says("split", "optim", "lr")
    assert not asked.says("augment", "size", "deeper")
    assert {key: (optim.epochs, optim.patience) for key, optim in asked.optims.items()} == {
        ("base", "optim"): (100, 15),
        ("split", "optim"): (60, 0),
    }


def test_a_complete_configuration_leaves_nothing_to_suggest() -> None:
    first = run()
    second = resolve_config(RunConfig.model_validate_json(first.config.model_dump_json()))
    assert (second.config, second.hash) == (first.config, first.hash)
    assert not any("suggested" in note for note in second.notes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([Suggestion({"dataset": {"options": {}}}, "")], "without a table 'dataset'"),
        ([{"augment": {"size": 28}}], "gives Suggestions"),
        (None, "failed in suggested_settings with TypeError"),
    ],
)
def test_a_wrong_suggestion_is_the_plugins_fault(wrong: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Telling, "says", wrong)
    with pytest.raises(PluginError, match="'telling'") as caught:
        run()
    assert message in str(caught.value)


def test_a_wrong_key_is_named_with_who_suggests_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Telling, "says", [Suggestion({"augment": {"sizes": 28}}, "")])
    with pytest.raises(
        UsageError, match=r"augment.sizes = 28 \(from suggested by telling\).*Did you mean 'augment.size'"
    ):
        run()


def test_a_mistake_of_the_user_is_found_before_the_dataset_is_opened() -> None:
    with pytest.raises(UsageError, match=r"base\.optim\.lrr"):
        run(overrides=["base.optim.lrr=1"])
    assert Telling.asked == []


@pytest.mark.parametrize("way", ["option", "file", "set", "RunConfig"])
def test_another_datasets_recipe(recipe: Recipe, tmp_path: Path, way: str) -> None:
    recipe("base", "[dataset.options]\ndifficulty = 0.5\n[augment]\nshift = 2\n[base.optim]\nlr = 0.2\n")
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "letters"\n')
    found = {
        "option": lambda: run(dataset="bare", recipe="letters"),
        "file": lambda: run(dataset="bare", config_files=[file]),
        "set": lambda: run(dataset="bare", overrides=["recipe=letters"]),
        "RunConfig": lambda: resolve_config(RunConfig(methods=("base",), dataset="bare", recipe="letters")),  # type: ignore[arg-type]
    }[way]()
    assert (found.config.dataset.name, found.method_configs["base"].optim.lr, found.config.augment.shift) == (
        "bare",
        0.2,
        2,
    )
    assert found.sources["base.optim.lr"] == "recipe base.toml of letters"
    assert found.dataset_options.difficulty == 1.0, "what it says of its own dataset is dropped"
    assert found.notes == []
    assert resolve_config(RunConfig.model_validate_json(found.config.model_dump_json())).config == found.config


def test_another_datasets_recipe_lies_above_what_the_dataset_suggests(recipe: Recipe) -> None:
    recipe("base", "[augment]\nsize = 64\n")
    found = run(recipe="letters")
    assert (found.sources["augment.size"], found.sources["augment.flip"]) == (
        "recipe base.toml of letters",
        "suggested by telling",
    )


def test_its_own_recipe_by_name_is_its_own(recipe: Recipe) -> None:
    recipe("base", "[dataset.options]\ndifficulty = 0.5\n")
    found = run(dataset="letters", recipe="tests:letters")
    assert found.sources["dataset.options.difficulty"] == "recipe base.toml"


def test_a_recipe_that_is_not_there_is_said(recipe: Recipe) -> None:
    with pytest.raises(UsageError, match="'leters'.*Did you mean 'letters'"):
        run(recipe="leters")
    assert run(dataset="letters", recipe="bare").notes == [
        "no recipe for method 'base' on dataset 'bare': its defaults are used; --recipe DATASET takes another dataset's."
    ]


def test_a_recipe_cannot_send_elsewhere(recipe: Recipe) -> None:
    recipe("base", 'recipe = "bare"\n')
    with pytest.raises(UsageError, match=r"recipe = 'bare' \(from recipe base.toml\)"):
        run(dataset="letters")
