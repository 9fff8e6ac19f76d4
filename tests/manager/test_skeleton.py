"""``ltbench plugin new`` writes a package that can be installed and whose test passes."""

import runpy
from pathlib import Path

import pytest

from ltbench.cli import invoke
from ltbench.registry import manager

from .installing import OFFLINE, pip


def test_the_skeleton_installs_and_passes_its_own_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke(["plugin", "new", "my-loss_2", "--directory", str(tmp_path)]) == 0
    assert f"pip install -e {tmp_path / 'my-loss_2'}" in capsys.readouterr().out
    pip(
        "install", *OFFLINE, "--no-build-isolation", "--target", tmp_path / "site", tmp_path / "my-loss_2", cwd=tmp_path
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(manager, "_loaded", None)

    mine = manager.plugins().methods.get("my-loss_2")
    assert (mine.plugin.name, mine.plugin.provider) == ("my-loss_2", "ltbench-my-loss_2 0.1.0")
    assert mine.spec.recipe == "baseline"
    written = runpy.run_path(str(tmp_path / "my-loss_2" / "tests" / "test_my_loss_2.py"))
    tests = [function for name, function in written.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


@pytest.mark.parametrize("name", ["Mine", "2nd", "a.b", "../up", ""])
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plugin", "new", name, "--directory", str(tmp_path)]) == 2
    assert "cannot name a plugin" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    assert invoke(["plugin", "new", "mine", "--directory", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not list((tmp_path / "mine").iterdir())
