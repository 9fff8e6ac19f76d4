"""``ltbench plugin test``."""

from collections.abc import Callable
from pathlib import Path

import pytest
from manager.modules import having, registering
from tiny import Outcome

from ltbench.cli import invoke
from ltbench.plugin import DatasetSpec, FuserSpec

pytestmark = pytest.mark.usefixtures("having_also")

Captured = pytest.CaptureFixture[str]

FUSER_FILE = """
from ltbench.fuser import Fuser
from ltbench.plugin import FuserSpec, hookimpl

@hookimpl
def ltbench_fusers():
    yield FuserSpec("first", target=f"{__name__}:First")

class First(Fuser):
    "Believes the first member and nobody else."
    def fuse(self, members):
        return %s
"""


def test_what_keeps_the_contract_is_ok(having_also: Callable[..., None], capsys: Captured) -> None:
    having_also(
        registering(
            FuserSpec("mine", target="ltbench_fusers.soft_voting:SoftVoting"),
            DatasetSpec("mine", target="ltbench_datasets.glyphs:GlyphsLT"),
            distribution="Their_Plugin",
        )
    )
    assert invoke(["plugin", "test", "their-plugin", "--set", "dataset.options.num_classes=3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok      plugin 'plugin' (Their_Plugin 1.0)",
        "ok      fuser 'mine'",
        "ok      dataset 'mine'",
    ]


def test_a_name_alone_tests_what_has_it(having_also: Callable[..., None], capsys: Captured) -> None:
    having_also(
        registering(
            FuserSpec("mine", target="ltbench_fusers.soft_voting:SoftVoting"),
            FuserSpec("other", target="ltbench_fusers.soft_voting:Nobody"),
        )
    )
    for name in ("mine", "dist:mine"):
        assert invoke(["plugin", "test", name]) == 0
        assert capsys.readouterr().out == "ok      fuser 'mine'\n"
    assert invoke(["plugin", "test", "other"]) == 3
    assert (
        "FAILED  fuser 'other': fuser 'other' of plugin 'plugin' (dist 1.0) cannot be used" in capsys.readouterr().out
    )


METHOD_FILE = """
from pydantic import Field
from ltbench.errors import UsageError
from ltbench.method import OneClassifier
from ltbench.plugin import MethodSpec, hookimpl

@hookimpl
def ltbench_methods():
    yield MethodSpec("told", target=f"{__name__}:Told")

class Told(OneClassifier):
    class Config(OneClassifier.Config):
        weight: float = Field(description="must be given")

    def fit(self, context, members):
        first = context.new_backbone().trunk
        raise UsageError(
            f"{self.config.weight} {self.config.optim.epochs} {self.config.optim.lr} {type(first).__name__} "
            f"{getattr(first, 'num_features', 0)}"
        )
"""


def test_settings_reach_the_suite(tmp_path: Path, ltb: Callable[..., Outcome]) -> None:
    path = tmp_path / "told_by_settings.py"
    path.write_text(METHOD_FILE)

    def said(*arguments: str) -> str:
        done = ltb("plugin", "test", path, *arguments)
        assert done.code == 3
        return done.out.splitlines()[-1].removeprefix("FAILED  method 'told': ")

    assert "weight" in said()
    given = ("--set", "told.weight=0.5")
    assert said(*given) == "0.5 2 0.2 ResNet10 32", "the epochs are cut, the rest is the class's own"
    assert said(*given, "--set", "told.optim.epochs=7", "--set", "told.optim.lr=0.1") == "0.5 7 0.1 ResNet10 32"
    assert said(*given, "--set", "backbone.kwargs.widths=[16,16,16,48]") == "0.5 2 0.2 ResNet10 48"
    assert said(*given, "-b", "resnet18") == "0.5 2 0.2 ResNet 512"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["kl", "--set", "soft.x=1"],
            "soft.x = 1 (from --set): 'soft' takes no part in this test; what can be set is kl.",
        ),
        (
            ["kl", "-b", "resnet18"],
            "backbone.name = 'resnet18' (from --backbone): 'backbone' takes no part in this test",
        ),
        (["joint", "--set", "joint.l2=-1"], "joint.l2 = -1 (from --set): expected"),
        (["joint", "--set", "joint.l3=1"], "joint.l3 = 1 (from --set): no such key. Did you mean 'joint.l2'?"),
        (["uniform", "--set", "uniform.optm=1"], "no such key. Did you mean 'uniform.optim'?"),
        (["baseline", "--set", "backbone.nme=1"], "backbone.nme = 1 (from --set): no such key."),
        (["glyphs-lt", "--set", "dataset.name=x"], "dataset.name = 'x' (from --set): 'dataset' takes no part"),
        (["glyphs-lt", "--set", "dataset.options.num=1"], "dataset.options.num = 1 (from --set): no such key."),
        (["jiont"], "Did you mean 'joint'? See 'ltbench list'."),
        (["nothing.py"], "nothing.py: no such file, nor a folder with a pyproject.toml."),
    ],
)
def test_what_is_wrong_is_said_in_a_line(ltb: Callable[..., Outcome], arguments: list[str], complaint: str) -> None:
    done = ltb("plugin", "test", *arguments)
    assert done.code == 2
    assert complaint in done.complaint


def test_a_folder_that_is_not_installed(ltb: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "some-thing"\n')
    done = ltb("plugin", "test", tmp_path)
    assert done.code == 2
    assert f"distribution 'some-thing' has no plugin installed here: pip install -e {tmp_path}." in done.complaint
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert "does not say the distribution's name" in ltb("plugin", "test", tmp_path).complaint


def test_a_dataset_whose_images_are_not_there_is_not_called_well(
    ltb: Callable[..., Outcome], own_cache: Path, tmp_path: Path
) -> None:
    done = ltb("plugin", "test", "cifar10-lt")
    assert done.code == 4
    assert done.out.startswith("not tried dataset 'cifar10-lt': cifar10-lt: there is no folder")
    assert ltb("plugin", "test", "cifar10-lt", "--data-root", tmp_path).code == 3


def test_files_named_before_stay_plugins(ltb: Callable[..., Outcome], tmp_path: Path) -> None:
    for name in ("one_fuser", "another_fuser"):
        (tmp_path / f"{name}.py").write_text(FUSER_FILE.replace("first", name) % "members[0].logits.log_softmax(dim=1)")
    done = ltb("--plugin", tmp_path / "one_fuser.py", "plugin", "test", tmp_path / "another_fuser.py")
    assert "fuser 'another_fuser'" in done.out
    from ltbench.registry.manager import plugins

    assert {"one_fuser", "another_fuser"} <= set(plugins().fusers.names())


def test_what_breaks_the_contract_fails_with_the_reason(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "a_fuser_without_normalisation.py"
    path.write_text(FUSER_FILE % "members[0].logits")
    assert invoke(["plugin", "test", str(path)]) == 3
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("ok ")
    assert second.startswith(
        "FAILED  fuser 'first': First on one member over all classes: rows of the posterior sum to"
    )


def test_a_broken_plugin_fails(having_also: Callable[..., None], capsys: Captured) -> None:
    having_also(having(distribution="theirs"))
    assert invoke(["plugin", "test", "theirs"]) == 3
    assert capsys.readouterr().out.startswith("FAILED  plugin 'plugin' (theirs 1.0): broken: it implements no hook")


def test_an_unknown_distribution_is_a_usage_error(capsys: Captured) -> None:
    assert invoke(["plugin", "test", "nobody"]) == 2
    assert "'nobody' is neither a file, nor an installed distribution with a plugin (" in capsys.readouterr().err
