"""What a user reads when a key, a value or a file is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ltbench.errors import PluginError, UsageError
from ltbench.plugin import DatasetSpec
from ltbench.registry.manager import Plugins
from ltbench.settings.recipes import resolve

from .fakes import Letters, registered, target

Recipe = Callable[[str, str], None]


def message(*overrides: str, methods: tuple[str, ...] = ("split",), config_files: tuple[Path, ...] = ()) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(dataset="bare", methods=methods, overrides=overrides, config_files=config_files)
    return str(caught.value)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("split.ratoi=8", "split.ratoi = 8 (from --set): no such key. Did you mean 'split.ratio'?"),
        ("split.lr=0.1", "split.lr = 0.1 (from --set): no such key. Did you mean 'split.optim.lr'?"),
        ("base.lr=0.1", "base.lr = 0.1 (from --set): no such key. Did you mean 'base.optim.lr'?"),
        ("split.optim.epoch=3", "split.optim.epoch = 3 (from --set): no such key. Did you mean 'split.optim.epochs'?"),
        (
            "split.subset.few.epoch=3",
            "split.subset.few.epoch = 3 (from --set): no such key. Did you mean 'split.subset.few.epochs'?",
        ),
        ("scale.zzz=3", "scale.zzz = 3 (from --set): no such key. Known: l2."),
        (
            "dataset.options.clases=3",
            "dataset.options.clases = 3 (from --set): no such key. Did you mean 'dataset.options.classes'?",
        ),
        (
            "backbone.pretraind=true",
            "backbone.pretraind = True (from --set): no such key. Did you mean 'backbone.pretrained'?",
        ),
        ("split.ratio=x", "split.ratio = 'x' (from --set): expected an integer >= 1."),
        ("split.ratio=0", "split.ratio = 0 (from --set): expected an integer >= 1."),
        ("split.ratio=8.5", "split.ratio = 8.5 (from --set): expected an integer >= 1."),
        ("split.share=1.5", "split.share = 1.5 (from --set): expected a number > 0 and < 1."),
        ("split.mode=rejct", "split.mode = 'rejct' (from --set): expected one of 'reject', 'zero'."),
        (
            "split.blocks=top",
            "split.blocks = 'top' (from --set): expected an integer or 'all' or a list, each an integer.",
        ),
        (
            "split.blocks=[1,'x']",
            "split.blocks = [1, 'x'] (from --set): expected an integer or 'all' or a list, each an integer.",
        ),
        ("split.pair=[1]", "split.pair = [1] (from --set): expected a list of 2, each an integer."),
        ("split.subset.few=3", "split.subset.few = 3 (from --set): expected a table."),
        ("split.optim=3", "split.optim = 3 (from --set): expected a table."),
        ("split=3", "split = 3 (from --set): expected a table."),
        ("dataset.options.classes=1", "dataset.options.classes = 1 (from --set): expected an integer >= 2."),
        ("backbone.projection=0", "backbone.projection = 0 (from --set): expected an integer >= 1 and <= 1,048,576."),
        ("backbone.pretrained=maybe", "backbone.pretrained = 'maybe' (from --set): expected true or false."),
        ("backbone.checkpoint=3", "backbone.checkpoint = 3 (from --set): expected a path."),
        (
            "compute.precision=fp8",
            "compute.precision = 'fp8' (from --set): expected one of 'auto', 'fp32', 'bf16', 'fp16'.",
        ),
        ("seed=-1", "seed = -1 (from --set): expected an integer >= 0."),
        ("fusers=mean", "fusers = 'mean' (from --set): expected a list, each a string."),
        ("fusers=['mean','mean']", "fusers = ['mean', 'mean'] (from --set): 'mean' is named twice."),
        (
            "folds=papr",
            "folds = 'papr' (from --set): unknown fold rule 'papr'; known: paper, kang, oltr. Did you mean 'paper'?",
        ),
    ],
)
def test_a_wrong_key_or_value_is_one_line(override: str, expected: str) -> None:
    assert message(override) == expected


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("override", "start", "suggestion"),
    [
        ("splt.ratio=8", "splt.ratio = 8 (from --set): 'splt' is neither", "Did you mean 'split'?"),
        (
            "precision=fp32",
            "precision = 'fp32' (from --set): 'precision' is neither",
            "Did you mean 'compute.precision'?",
        ),
        ("method=['split']", "method = ['split'] (from --set): 'method' is neither", "Did you mean 'methods'?"),
        (
            "settings.split.ratio=8",
            "settings.split.ratio = 8 (from --set): 'settings' is neither",
            "Hyperparameters are written as METHOD.KEY.",
        ),
        ("qqq=8", "qqq = 8 (from --set): 'qqq' is neither", "Known: augment, backbone,"),
    ],
)
def test_an_unknown_section(override: str, start: str, suggestion: str) -> None:
    text = message(override)
    assert text.startswith(start)
    assert suggestion in text


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("override", ["split.ratio", "=8", "split.=8", ".ratio=8", "split..ratio=8", ""])
def test_a_malformed_override(override: str) -> None:
    assert message(override) == f"--set {override!r}: write KEY=VALUE, for example --set experts.reject_ratio=8."


@pytest.mark.usefixtures("plugins")
def test_every_wrong_key_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[split]\nratio = 'many'\nmoed = 'zero'\n")
    assert message("split.share=7", config_files=(file,)).splitlines() == [
        f"split.ratio = 'many' (from {file}): expected an integer >= 1.",
        "split.share = 7 (from --set): expected a number > 0 and < 1.",
        f"split.moed = 'zero' (from {file}): no such key. Did you mean 'split.mode'?",
    ]


@pytest.mark.usefixtures("plugins")
def test_a_required_key() -> None:
    assert (
        message(methods=("needy",))
        == "needy.high: missing; expected an integer. Give it with --set needy.high=VALUE or in a file."
    )


@pytest.mark.usefixtures("plugins")
def test_a_rule_over_several_keys_names_the_section_and_all_sources(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[needy]\nhigh = 3\n")
    assert (
        message("needy.low=4", methods=("needy",), config_files=(file,))
        == f"needy (from {file}, --set): low 4 must be below high 3."
    )


@pytest.mark.usefixtures("plugins")
def test_no_method() -> None:
    text = message(methods=())
    assert "--method NAME" in text
    assert "base, split, variant, narrow, needy" in text


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("what", ["methods", "fusers", "dataset"])
def test_an_unknown_name(what: str) -> None:
    asked = {"methods": ["split"], "fusers": ["mean"], "dataset": "bare"}
    name = asked[what] + "x" if what == "dataset" else asked[what][0] + "x"
    asked[what] = name if what == "dataset" else [name]
    with pytest.raises(UsageError, match=f"'{name}'.*Did you mean"):
        resolve(**asked)  # type: ignore[arg-type]


@pytest.mark.usefixtures("plugins")
def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[split]\nratio = \n")
    assert f"{broken} is not valid TOML" in (text := message(config_files=(broken,)))
    assert "line 2" in text
    assert "no such file" in message(config_files=(tmp_path / "absent.toml",))
    assert "cannot be read" in message(config_files=(tmp_path,))
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9\n")
    assert "is not UTF-8" in message(config_files=(latin,))


def test_an_error_in_a_recipe_names_the_recipe(recipe: Recipe) -> None:
    recipe("base", "[base.optim]\nlr = -1\n")
    with pytest.raises(UsageError, match=r"base\.optim\.lr = -1 \(from recipe base\.toml\): expected a number > 0\."):
        resolve(dataset="letters", methods=["base"])
    recipe("base", "[bas.optim]\nlr = 1\n")
    with pytest.raises(
        UsageError, match=r"bas\.optim\.lr = 1 \(from recipe base\.toml\): 'bas' is neither .* Did you mean 'base'\?"
    ):
        resolve(dataset="letters", methods=["base"])


def test_a_recipe_folder_that_is_not_there(plugins: Plugins) -> None:
    registered([DatasetSpec("lost", target=target(Letters), recipes="no_such_package:recipes")], into=plugins)
    with pytest.raises(PluginError, match="dataset 'lost': its recipes 'no_such_package:recipes' cannot be found"):
        resolve(dataset="lost", methods=["base"])
