"""What installed plugins do to ltbench: ``tests/fixtures``, installed by pip and used through the command line."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ltbench.api import get_method
from ltbench.cli import invoke
from ltbench.registry.manager import Plugins

from .conftest import Run

GOOD, BROKEN, CLASHING, FUTURE = "shifted-softmax", "ltbench-broken", "other-baselines", "from-the-future"


def names(listing: str) -> dict[str, str]:
    """Name -> distribution that provides it."""
    return {entry["name"]: entry["provider"]["distribution"] for entry in json.loads(listing)}


def statuses(listing: str) -> dict[str, str]:
    return {f"{plugin['distribution']}:{plugin['name']}": plugin["status"] for plugin in json.loads(listing)}


def test_a_good_plugin_stands_beside_the_shipped_ones(ltbench: Run) -> None:
    done = ltbench("list", "methods", "--json", having=(GOOD,))
    assert done.returncode == 0
    assert done.stderr == ""
    assert {"baseline": "ltbench", "experts": "ltbench", "shifted-softmax": GOOD}.items() <= names(done.stdout).items()


def test_a_method_of_a_good_plugin_computes_its_loss(installed: Callable[..., Plugins]) -> None:
    installed(GOOD)
    method = get_method("shifted-softmax", tau=1.0)
    method.context = SimpleNamespace(classes=SimpleNamespace(train_counts=torch.tensor([90, 10])))  # type: ignore[attr-defined]
    loss = method.loss(torch.zeros(1, 2), torch.tensor([1]))  # type: ignore[attr-defined]
    assert float(loss) == pytest.approx(math.log((90 + 10) / 10), rel=1e-5)


def test_show_tells_all_about_a_plugins_method(
    installed: Callable[..., Plugins], capsys: pytest.CaptureFixture[str]
) -> None:
    installed(GOOD)
    assert invoke(["show", "shifted-softmax", "--json"]) == 0
    (about,) = json.loads(capsys.readouterr().out)
    parameters = {parameter["name"]: parameter for parameter in about["hyperparameters"]}
    assert about["provider"] == {"plugin": "shifted-softmax", "distribution": GOOD, "version": "1.2.0"}
    assert parameters["tau"] == {
        "name": "tau",
        "type": "a number >= 0",
        "default": 1.0,
        "required": False,
        "meaning": "weight of the training counts",
    }
    assert parameters["optim.lr"]["type"] == "a number > 0"


def test_a_plugins_method_runs_from_training_to_record(
    installed: Callable[..., Plugins],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed(GOOD)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    settings = [
        "dataset.options.num_classes=4",
        "dataset.options.max_count=24",
        "shifted-softmax.optim.epochs=1",
        "shifted-softmax.tau=0.5",
    ]
    chosen = [argument for setting in settings for argument in ("--set", setting)]
    assert invoke(["run", "--method", "shifted-softmax", *chosen, "--json"]) == 0
    (record,) = [record for record in json.loads(capsys.readouterr().out)["records"] if record["role"] == "run"]
    assert record["methods"] == ["shifted-softmax"]
    assert record["config"]["settings"]["shifted-softmax"]["tau"] == 0.5
    assert record["config"]["settings"]["shifted-softmax"]["optim"]["nesterov"] is True  # the baseline's recipe
    assert record["environment"]["plugins"][GOOD] == "1.2.0"


def test_a_broken_plugin_costs_one_line_and_nothing_else(ltbench: Run) -> None:
    done = ltbench("list", "methods", "--json", having=(GOOD, BROKEN))
    assert done.returncode == 0
    assert {"baseline", "shifted-softmax"} <= set(names(done.stdout))
    (line,) = done.stderr.splitlines()
    assert "plugin 'broken-loss' (ltbench-broken 0.3.0) is broken" in line
    assert "No module named 'a_package_nobody_installed'" in line


def test_a_broken_plugin_is_fatal_when_its_name_is_wanted(ltbench: Run) -> None:
    done = ltbench("show", "broken-loss", having=(BROKEN,))
    assert done.returncode == 3
    error = done.stderr.splitlines()[-1]
    assert error.startswith(
        "Error: method 'broken-loss' needs plugin 'broken-loss' (ltbench-broken 0.3.0), which is broken"
    )
    assert "Traceback" not in done.stderr


def test_strict_makes_a_broken_plugin_an_error(ltbench: Run) -> None:
    done = ltbench("list", "methods", having=(BROKEN,), env={"LTBENCH_STRICT_PLUGINS": "1"})
    assert done.returncode == 3
    assert done.stdout == ""
    assert "a_package_nobody_installed" in done.stderr


def test_doctor_shows_the_traceback(installed: Callable[..., Plugins], capsys: pytest.CaptureFixture[str]) -> None:
    installed(GOOD, BROKEN, CLASHING, FUTURE)
    assert invoke(["doctor"]) == 3
    printed = capsys.readouterr().out
    assert "import a_package_nobody_installed" in printed
    assert "Traceback" in printed
    assert "2 to look at" in printed


def test_two_distributions_with_one_entry_point_name_both_load(ltbench: Run) -> None:
    done = ltbench("list", "plugins", "--json", having=(CLASHING,))
    assert statuses(done.stdout) == {
        "ltbench:datasets": "ok",
        "ltbench:fusers": "ok",
        "ltbench:methods": "conflict",
        "ltbench:zoo": "ok",
        "other-baselines:methods": "conflict",
    }


def test_a_name_that_two_provide_must_be_qualified(ltbench: Run) -> None:
    listed = ltbench("list", "methods", "--json", having=(CLASHING,))
    assert listed.stderr == ""
    assert {"ltbench:baseline", "other-baselines:baseline", "experts"} <= set(names(listed.stdout))
    assert "baseline" not in names(listed.stdout)

    bare = ltbench("run", "--method", "baseline", "--dry-run", having=(CLASHING,))
    assert bare.returncode == 3
    assert "'ltbench:baseline' (ltbench " in bare.stderr
    assert "'other-baselines:baseline' (other-baselines 2.0.0)" in bare.stderr


def test_an_incompatible_plugin_is_refused(ltbench: Run) -> None:
    done = ltbench("list", "plugins", "--json", having=(FUTURE,))
    assert statuses(done.stdout)["from-the-future:future"] == "incompatible"
    wanted = ltbench("show", "future", having=(FUTURE,))
    assert wanted.returncode == 3
    assert "version 999 of the plugin interface" in wanted.stderr.splitlines()[-1]


@pytest.mark.parametrize("disabled", ["Other_Baselines", "nobody,other-baselines:methods"])
def test_a_disabled_plugin_is_not_imported(ltbench: Run, disabled: str) -> None:
    env = {"LTBENCH_DISABLE_PLUGINS": disabled}
    done = ltbench("list", "methods", "--json", having=(CLASHING,), env=env)
    assert names(done.stdout)["baseline"] == "ltbench"
    assert (
        statuses(ltbench("list", "plugins", "--json", having=(CLASHING,), env=env).stdout)["other-baselines:methods"]
        == "disabled"
    )


def test_disabling_a_broken_plugin_silences_it(ltbench: Run) -> None:
    env = {"LTBENCH_DISABLE_PLUGINS": "broken-loss", "LTBENCH_STRICT_PLUGINS": "1"}
    done = ltbench("list", "methods", having=(BROKEN,), env=env)
    assert (done.returncode, done.stderr) == (0, "")
    wanted = ltbench("show", "broken-loss", having=(BROKEN,), env=env)
    assert wanted.returncode == 3
    assert "disabled" in wanted.stderr


def test_without_its_own_plugins_the_harness_still_starts(ltbench: Run, everything: Path, tmp_path: Path) -> None:
    ltbench("--version")
    (metadata,) = everything.glob("ltbench-*.dist-info")
    site = tmp_path / "site"
    (site / metadata.name).unlink()
    (site / metadata.name).mkdir()
    (site / metadata.name / "METADATA").write_text((metadata / "METADATA").read_text())

    assert ltbench("--help").returncode == 0
    listed = ltbench("list", "methods")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("no method is installed.")
    assert ltbench("list", "methods", "--json").stdout.strip() == "[]"
    wanted = ltbench("show", "baseline")
    assert wanted.returncode == 2
    assert "no method, fuser or dataset is installed" in wanted.stderr
