"""``ltbench plugin test``."""

from collections.abc import Callable
from pathlib import Path

import pytest
from manager.modules import having, registering

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
    assert invoke(["plugin", "test", "their-plugin"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok      plugin 'plugin' (Their_Plugin 1.0)",
        "ok      fuser 'mine'",
        "ok      dataset 'mine'",
    ]


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
    assert "'nobody' is neither a file nor an installed distribution with a plugin" in capsys.readouterr().err
