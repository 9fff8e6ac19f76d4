"""``ltbench reproduce`` as a user meets it, on tiny data."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from data.benchmark_trees import draw
from tiny import BASELINE, EXPERTS, TINY, TINY_EXPERTS, WIDTHS, in_subprocess, settings

import ltbench
from ltbench.reproduction import spec

KILLING = """
import os, signal
from ltbench.plugin import hookimpl

@hookimpl
def ltbench_before_run(run):
    if run.config.settings["experts"]["ood"] == "outlier_exposure":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def reproduce(ltb, *arguments: Any) -> Any:
    done = ltb("reproduce", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_table_is_printed_and_written(ltb, tmp_path: Path) -> None:
    done = ltb("reproduce", "table6", *TINY_EXPERTS, "--seeds", "0", "--out", tmp_path, "--results", tmp_path / "kept")
    assert done.code == 0, done.err
    for said in (
        "Experts, joint calibration",
        "43.2 / 34.3 / 18.9 / 35.7",
        "measured (glyphs-lt)",
        "reported (Places-LT)",
    ):
        assert said in done.out
    assert "run 1 of 1: seed 0" in done.err
    assert "ltbench reproduce table6 --dataset glyphs-lt --seeds 0" in (tmp_path / "REPRODUCTION.md").read_text()
    kept = ltbench.load_results(tmp_path / "kept")
    assert set(kept["fuser"]) == {"none", "kl", "soft", "selection", "stacking", "joint", "temperature"}


def test_the_numbers_are_those_of_run(ltb, tmp_path: Path) -> None:
    """A row is the very record that ``ltbench run`` makes; the oracle is the one beside it; another seed is another column."""
    answer = reproduce(ltb, "table4", "table6", *TINY_EXPERTS, "--seeds", "0,1", "--out", tmp_path)
    done = ltb("run", "-m", "experts", "-f", "joint", *TINY_EXPERTS, "--seed", "1", "--json")
    records = {(record["fuser"], *record["methods"]): record for record in json.loads(done.out)["records"]}
    joint = records["joint", "experts"]
    row = answer["rows"]["experts_joint"]["seeds"]["1"]
    assert row["accuracy"] == pytest.approx(joint["metrics"]["paper"])
    assert row["record"] == f"experts--joint--s1--{joint['config_hash'][:8]}"
    told = answer["rows"]["experts_oracle"]["seeds"]["1"]["accuracy"]
    assert told == pytest.approx(joint["analyses"]["oracle"]["accuracy"]["paper"], abs=1e-3)
    assert set(answer["rows"]["baseline"]["seeds"]) == {"0", "1"}


def test_it_continues_after_being_killed(ltb, own_cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "killing.py"
    plugin.write_text(KILLING)
    command = ["reproduce", "table2", *TINY_EXPERTS, "--seeds", "0", "--out", tmp_path / "out"]
    assert in_subprocess(["--plugin", plugin, *command], own_cache).code == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in own_cache.glob("stages/*/weights.safetensors")}
    assert len(before) == 2
    done = ltb(*command)
    assert done.code == 0, done.err
    after = {path: path.stat().st_mtime_ns for path in own_cache.glob("stages/*/weights.safetensors")}
    assert len(after) == 3
    assert before.items() <= after.items()
    assert done.err.count("trained ") == 1


def test_it_runs_on_images_that_a_user_has(ltb, own_cache: Path, tmp_path: Path) -> None:
    root = draw("imagenet-lt", tmp_path / "images")
    broken = next(root.glob("train/*/*.JPEG"))
    broken.write_bytes(b"")
    smaller = settings(
        baseline=BASELINE,
        experts=EXPERTS,
        backbone={"kwargs": {"widths": WIDTHS}},
        augment={"size": 32},
        compute={"workers": 0},
    )
    command = ["reproduce", "table4", "--dataset", "imagenet-lt", "--data-root", root, *smaller, "--seeds", "0"]
    done = ltb(*command, "--out", tmp_path / "out")
    assert done.code == 4
    assert str(broken) in done.err

    kept = tmp_path / "kept"
    answer = reproduce(ltb, *command[1:], "--on-bad-image", "skip", "--out", tmp_path / "out", "--results", kept)
    assert answer["dataset"]["name"] == "imagenet-lt"
    assert set(answer["rows"]) >= {"baseline", "experts_oracle"}
    skipped = [json.loads(file.read_text())["dataset"]["skipped"] for file in kept.glob("*/*--*.json")]
    assert skipped
    assert all(one == {"train": [f"train/{broken.parent.name}/{broken.name}"]} for one in skipped)
    said = (tmp_path / "out" / "REPRODUCTION.md").read_text()
    assert "ltbench reproduce table4 --dataset imagenet-lt --seeds 0 --data-root DIR --on-bad-image skip --set " in said
    assert str(root) not in said


def test_two_processes_train_together_and_one_of_them_writes(tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    command = ["reproduce", "table4", *TINY_EXPERTS, "--seeds", "0", "--out", out, "--num-processes", 2, "--json"]
    done = in_subprocess(command, cache)
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer == json.loads((out / "reproduction.json").read_text())
    assert answer["rows"]["baseline"]["accuracy"]["all"]["mean"] > 0
    stages = [json.loads(file.read_text()) for file in cache.glob("stages/*/stage.json")]
    assert [stage["num_processes"] for stage in stages] == [2, 2]


def test_every_row_is_measured_for_every_seed(ltb, tmp_path: Path) -> None:
    answer = reproduce(ltb, "table4", *TINY_EXPERTS, "--seeds", "1,0", "--out", tmp_path)
    rows = ("baseline", "experts_oracle", "baseline_joint")
    assert {name: list(row["seeds"]) for name, row in answer["rows"].items()} == {key: ["0", "1"] for key in rows}
    assert {claim["id"]: claim["seeds"] for claim in answer["claims"]} == {"a": [0, 1], "b": [0, 1]}


def test_figure2_needs_no_training(ltb, own_cache: Path, tmp_path: Path) -> None:
    answer = reproduce(ltb, "figure2", *TINY, "--out", tmp_path)
    assert answer["dataset"]["classes"] == {"many": 1, "medium": 4, "few": 4}
    assert (tmp_path / "figures" / "figure2.png").is_file()
    assert not list(own_cache.glob("stages/*"))


def test_a_method_that_is_not_installed_is_a_row_without_numbers(
    ltb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = spec.paper().select(["table4"]).model_dump()
    values["rows"]["experts_oracle"]["methods"] = ["ghost"]
    monkeypatch.setattr(spec, "paper", lambda: spec.Paper.model_validate(values))
    answer = reproduce(ltb, "table4", *TINY, "--seeds", "0", "--out", tmp_path)
    assert answer["rows"]["experts_oracle"]["missing"] == ["ghost"]
    assert answer["rows"]["baseline"]["accuracy"]["all"]["mean"] > 0
    assert "not installed: ghost" in (tmp_path / "REPRODUCTION.md").read_text()
    assert {claim["id"]: claim["verdict"] for claim in answer["claims"]} == {"a": "not tested", "b": "not tested"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tabel6",), "unknown target 'tabel6'. Did you mean 'table6'?"),
        ((), "no target"),
        (("table6", "--seeds", "0,x"), "--seeds 0,x: expected distinct numbers"),
        (("table6", "--set", "prototype.memory=false"), "prototype.memory=false: no run of these targets"),
        (("table6", "--set", "expert.ood=reject"), "'expert' is neither"),
        (("table6", "-d", "glyph-lt"), "Did you mean 'glyphs-lt'?"),
        (("table6", *TINY_EXPERTS, "-b", "resnet0"), "unknown backbone 'resnet0'"),
    ],
    ids=["target", "none", "seeds", "unused", "section", "dataset", "backbone"],
)
def test_bad_input_is_one_line_and_2(ltb, arguments: tuple[str, ...], message: str) -> None:
    done = ltb("reproduce", *arguments)
    assert done.code == 2
    assert message in done.err.splitlines()[-1]
    assert not done.out
