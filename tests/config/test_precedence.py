"""Which layer wins, and what is said about where each value came from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ltbench.config import BackboneConfig, RunConfig
from ltbench.errors import PluginError, UsageError
from ltbench.plugin import MethodSpec
from ltbench.registry.manager import Plugins
from ltbench.settings.recipes import Resolved, resolve, resolve_config

from .fakes import Base, registered, target

Recipe = Callable[[str, str], None]

BASE = """
[backbone]
name = "resnet10"
projection = 64
kwargs = {widths = [8, 16], stem_stride = 2}
[base.optim]
lr = 0.2
batch_size = 128
"""


def letters(**asked: Any) -> Resolved:
    return resolve(**{"dataset": "letters", "methods": ["base"], **asked})


def test_each_layer_beats_the_one_below(recipe: Recipe, tmp_path: Path) -> None:
    recipe("base", "[base.optim]\nlr = 1.0\nmomentum = 0.1\nepochs = 11\nbatch_size = 11")
    file = tmp_path / "mine.toml"
    file.write_text("[base.optim]\nlr = 2.0\nmomentum = 0.2\nepochs = 22")
    found = letters(config_files=[file], overrides=["base.optim.lr=3", "base.optim.momentum=0.3", "base.optim.lr=4.0"])
    optim = found.method_configs["base"].optim
    assert (optim.lr, optim.momentum, optim.epochs, optim.batch_size, optim.patience) == (4.0, 0.3, 22, 11, 15)
    source = {
        key: found.sources[f"base.optim.{key}"]
        for key in ("lr", "momentum", "epochs", "batch_size", "patience", "nesterov")
    }
    assert source == {
        "lr": "--set",
        "momentum": "--set",
        "epochs": str(file),
        "batch_size": "recipe base.toml",
        "patience": "default",
        "nesterov": "default",
    }


def test_options_beat_the_file_and_set_beats_options(recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('methods = ["needy"]\nfusers = ["mean"]\nseed = 3\nfolds = "kang"\ndataset = "bare"\n')
    found = letters(config_files=[file], fusers=["scale"], seed=0, folds="oltr", overrides=["folds=paper"])
    config = found.config
    assert (config.methods, config.fusers, config.seed, config.folds, config.dataset.name) == (
        ("base",),
        ("scale",),
        0,
        "paper",
        "letters",
    )
    assert [found.sources[key] for key in ("methods", "fusers", "seed", "folds", "dataset.name")] == [
        "--method",
        "--fuser",
        "--seed",
        "--set",
        "--dataset",
    ]


def test_a_file_alone_can_name_everything(plugins: Plugins, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'methods = ["base"]\nseed = 3\nfolds = "kang"\n'
        '[dataset]\nname = "bare"\nroot = "/images"\noptions = {classes = 7}\n'
    )
    found = resolve(config_files=[file])
    assert (found.order, found.config.seed, found.config.folds) == (["base"], 3, "kang")
    assert found.config.dataset.root == Path("/images")
    assert found.dataset_options.classes == 7
    assert found.config.dataset.options == {"classes": 7, "difficulty": 1.0}


def test_the_recipe_of_a_required_method_lies_below(recipe: Recipe) -> None:
    recipe("base", BASE + "[augment]\nshift = 1\n")
    recipe("split", 'fusers = ["mean"]\n[augment]\nshift = 2\n[split]\nratio = 8\n')
    found = letters(methods=["split"])
    assert found.order == ["base", "split"]
    assert (found.config.augment.shift, found.config.fusers, found.method_configs["base"].optim.lr) == (
        2,
        ("mean",),
        0.2,
    )
    assert found.method_configs["split"].ratio == 8
    assert found.notes == []


def test_settings_are_complete_and_json(recipe: Recipe) -> None:
    found = letters(methods=["split"], fusers=["mean"])
    assert set(found.config.settings) == {"base", "split", "mean", "scale"}
    assert found.config.settings["scale"] == {"l2": 1e-3}
    assert found.config.settings["split"]["pair"] == [1, 2]
    assert set(found.fuser_configs) == {"mean", "scale"}
    assert found.config.fusers == ("mean",)


def test_default_of_a_nested_model_survives_a_partial_change(recipe: Recipe) -> None:
    found = letters(overrides=["base.optim.lr=0.5"])
    assert found.method_configs["base"].optim.model_dump(include={"lr", "epochs", "patience"}) == {
        "lr": 0.5,
        "epochs": 100,
        "patience": 15,
    }


def test_a_missing_recipe_is_noted(recipe: Recipe) -> None:
    recipe("base", BASE)
    assert letters(methods=["split"]).notes == [
        "no recipe for method 'split' on dataset 'letters': its defaults are used; --recipe DATASET takes another dataset's."
    ]


def test_a_method_takes_the_recipe_it_names(recipe: Recipe) -> None:
    recipe("base", BASE)
    found = letters(methods=["variant"])
    assert (found.method_configs["variant"].optim.lr, found.config.backbone.projection) == (0.2, 64)
    assert found.sources["variant.optim.lr"] == "recipe base.toml"
    assert found.sources["variant.gamma"] == "default"
    assert "base" not in found.config.settings


def test_keys_that_the_inheriting_method_lacks_are_left_out(recipe: Recipe) -> None:
    recipe("base", BASE)
    recipe("variant", "[variant]\ngamma = 5.0\nstrength = 3.0\n")
    assert letters(methods=["narrow"]).config.settings["narrow"] == {"strength": 3.0}


def test_its_own_recipe_lies_on_the_one_it_names(recipe: Recipe) -> None:
    recipe("base", BASE)
    recipe("variant", "[variant.optim]\nlr = 0.7\n")
    found = letters(methods=["variant"])
    optim = found.method_configs["variant"].optim
    assert (optim.lr, optim.batch_size, found.config.backbone.projection) == (0.7, 128, 64)
    assert (found.sources["variant.optim.lr"], found.sources["variant.optim.batch_size"]) == (
        "recipe variant.toml",
        "recipe base.toml",
    )
    recipe("narrow", "[narrow]\nstrength = 2.0\n")
    assert letters(methods=["narrow"]).config.settings["narrow"] == {"strength": 2.0}
    assert letters(methods=["narrow"]).config.backbone.projection == 64, "three recipes on each other"


@pytest.mark.parametrize("way", ["option", "file", "set", "RunConfig"])
def test_another_backbone_drops_what_the_recipe_says_of_its_own(recipe: Recipe, tmp_path: Path, way: str) -> None:
    recipe("base", BASE)
    file = tmp_path / "mine.toml"
    file.write_text('[backbone]\nname = "resnet18"\n')
    found = {
        "option": lambda: letters(backbone="resnet18"),
        "file": lambda: letters(config_files=[file]),
        "set": lambda: letters(overrides=["backbone=resnet18"]),
        "RunConfig": lambda: resolve_config(RunConfig(methods=("base",), dataset="letters", backbone="resnet18")),  # type: ignore[arg-type]
    }[way]()
    assert found.config.backbone == BackboneConfig(name="resnet18")
    assert found.method_configs["base"].optim.lr == 0.2


def test_a_recipe_that_names_no_backbone_speaks_of_the_usual_one(recipe: Recipe) -> None:
    recipe("base", "[backbone]\nprojection = 64\n")
    assert letters().config.backbone == BackboneConfig(name="resnet10", projection=64)
    assert letters(backbone="resnet18").config.backbone == BackboneConfig(name="resnet18")


def test_the_same_backbone_keeps_it_and_kwargs_merge(recipe: Recipe) -> None:
    recipe("base", BASE)
    backbone = letters(backbone="resnet10", overrides=["backbone.kwargs.stem_stride=1"]).config.backbone
    assert (backbone.kwargs, backbone.projection) == ({"widths": [8, 16], "stem_stride": 1}, 64)


def test_what_a_user_says_of_no_backbone_in_particular_is_kept(recipe: Recipe, tmp_path: Path) -> None:
    recipe("base", BASE)
    file = tmp_path / "mine.toml"
    file.write_text("[backbone]\npretrained = true\n")
    assert letters(config_files=[file], backbone="resnet18").config.backbone == BackboneConfig(
        name="resnet18", pretrained=True
    )


def test_a_file_about_another_backbone_is_left_out(recipe: Recipe, tmp_path: Path) -> None:
    recipe("base", BASE)
    file = tmp_path / "mine.toml"
    file.write_text('[backbone]\nname = "resnet50"\npretrained = true\n')
    assert letters(config_files=[file], backbone="resnet18").config.backbone == BackboneConfig(name="resnet18")
    assert letters(config_files=[file], backbone="resnet10").config.backbone.projection == 64


def test_options_of_another_dataset_are_left_out(recipe: Recipe, tmp_path: Path) -> None:
    recipe("base", "[dataset.options]\ndifficulty = 0.5\n")
    file = tmp_path / "mine.toml"
    file.write_text('[dataset]\nname = "bare"\noptions = {classes = 7}\n')
    assert letters(config_files=[file]).dataset_options.model_dump() == {"classes": 100, "difficulty": 0.5}


def test_a_list_is_replaced_and_not_joined(recipe: Recipe) -> None:
    recipe("split", "[split]\nblocks = [1, 2, 3]\n")
    assert letters(methods=["split"], overrides=["split.blocks=[4]"]).method_configs["split"].blocks == [4]


def test_an_empty_table_clears_what_the_recipe_says(recipe: Recipe) -> None:
    recipe("base", BASE)
    backbone = letters(overrides=["backbone.kwargs={}"]).config.backbone
    assert (backbone.name, backbone.kwargs, backbone.projection) == ("resnet10", {}, 64)


def test_run_config_by_hand_keeps_what_was_set_and_takes_the_rest_from_the_recipe(recipe: Recipe) -> None:
    recipe("base", BASE + "[compute]\nprecision = 'fp32'\n")
    config = RunConfig(methods=("base",), dataset={"name": "letters"}, settings={"base": {"optim": {"lr": 9.0}}})  # type: ignore[arg-type]
    found = resolve_config(config)
    assert (found.method_configs["base"].optim.lr, found.method_configs["base"].optim.batch_size) == (9.0, 128)
    assert (found.config.compute.precision, found.config.backbone.projection) == ("fp32", 64)
    assert (found.sources["base.optim.lr"], found.sources["base.optim.batch_size"]) == ("RunConfig", "recipe base.toml")


def test_a_resolved_configuration_resolves_to_itself_after_json(recipe: Recipe) -> None:
    recipe("base", BASE)
    recipe("split", 'fusers = ["mean"]\n[split]\nratio = 8\n')
    first = letters(methods=["split"], seed=5, overrides=["split.subset.few.lr=0.3", "backbone.kwargs={}"])
    second = resolve_config(RunConfig.model_validate_json(first.config.model_dump_json()))
    assert second.config == first.config
    assert second.hash == first.hash


def test_hash_ignores_key_order_seed_and_place_of_the_images_only(recipe: Recipe, tmp_path: Path) -> None:
    recipe("base", BASE)
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text("[split]\nratio = 8\nmode = 'zero'\n[compute]\nworkers = 2\n")
    other.write_text("[compute]\nworkers = 2\n[split]\nmode = 'zero'\nratio = 8\n")
    first = letters(methods=["split"], config_files=[one], seed=1)
    assert letters(methods=["split"], config_files=[other], seed=2, root=tmp_path).hash == first.hash
    assert letters(methods=["split"], config_files=[one], overrides=["split.ratio=9"]).hash != first.hash
    assert letters(methods=["split"], config_files=[one], overrides=["base.optim.lr=9"]).hash != first.hash
    assert len(first.hash) == 64


def test_hash_does_not_depend_on_how_a_number_is_written(recipe: Recipe) -> None:
    assert letters(overrides=["base.optim.lr=1"]).hash == letters(overrides=["base.optim.lr=1.0"]).hash


def test_methods_that_require_each_other_are_refused(plugins: Plugins) -> None:
    one = MethodSpec("one", target=target(Base), requires=("two",))
    registered([one, MethodSpec("two", target=target(Base), requires=("one",))], into=plugins)
    with pytest.raises(PluginError, match="one -> two -> one"):
        letters(methods=["one"])


@pytest.mark.parametrize("name", ["mean", "compute"])
def test_a_method_cannot_share_its_section(plugins: Plugins, name: str) -> None:
    registered([MethodSpec(name, target=target(Base))], into=plugins)
    with pytest.raises(PluginError, match=f"'{name}' names two things"):
        letters(dataset="bare", methods=[name], fusers=["mean"])


def test_a_qualified_name_is_the_same_run(recipe: Recipe) -> None:
    recipe("base", BASE)
    found = resolve(dataset="tests:letters", methods=["tests:base"], fusers=["tests:mean"])
    assert found.config == letters(fusers=["mean"]).config
    assert found.config.methods == ("base",)


def test_of_two_methods_with_one_name_each_has_its_own_section(recipe: Recipe, plugins: Plugins) -> None:
    registered([MethodSpec("variant", target=target(Base))], distribution="others", into=plugins)
    recipe("variant", "[variant.optim]\nlr = 0.7\n")
    found = letters(methods=["tests:variant", "others:variant"], overrides=["others:variant.optim.lr=0.9"])
    assert {name: config.optim.lr for name, config in found.method_configs.items()} == {
        "tests:variant": 0.7,
        "others:variant": 0.9,
    }
    with pytest.raises(PluginError, match="'variant' is provided by 2 plugins"):
        letters(methods=["variant"])


def test_unused_sections_of_a_file_are_noted_and_of_the_command_line_refused(recipe: Recipe, tmp_path: Path) -> None:
    recipe("base", "")
    file = tmp_path / "mine.toml"
    file.write_text("[split]\nratio = 8\n")
    assert letters(config_files=[file]).notes == [
        f"section 'split' of {file} is not used: it takes no part in this run."
    ]
    with pytest.raises(
        UsageError, match=r"split\.ratio = 8 \(from --set\): 'split' takes no part in this run, only base, scale\."
    ):
        letters(overrides=["split.ratio=8"])
