"""``ltbench run`` as a user meets it: what it prints and leaves, what it says of bad input, how it is interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from tiny import DATA, TINY, TINY_EXPERTS, TOGETHER, in_subprocess, lasting, settings

import ltbench
from ltbench.config import RunConfig
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.run import Engine
from ltbench.registry import manager
from ltbench.results.logits import read_logits
from ltbench.settings.recipes import resolve_config

FOLDS = {"many", "medium", "few", "all"}


def run_json(ltb, *arguments: Any) -> Any:
    done = ltb("run", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_run_prints_the_folds_and_leaves_its_records(ltb, tmp_path: Path) -> None:
    done = ltb("run", "-m", "experts", "-f", "soft", "-f", "joint", *TINY_EXPERTS, "--results", tmp_path / "results")
    assert done.code == 0, done.err
    rows = [line for line in done.out.splitlines() if "experts / " in line or "baseline" in line or "oracle" in line]
    assert [row.split()[1] for row in rows] == ["baseline", "baseline", "experts", "experts", "oracle"]
    assert "alone" in rows[0]
    assert "control" in rows[1]
    assert "upper bound" in rows[4]
    written = list((tmp_path / "results" / "glyphs-lt").glob("*--*.json"))
    assert len(written) == 4
    table = ltbench.load_results(tmp_path / "results")
    assert sorted(zip(table["methods"], table["fuser"], strict=True)) == [
        ("baseline", "joint"),
        ("baseline", "none"),
        ("experts", "joint"),
        ("experts", "soft"),
    ]


def test_json_is_all_that_is_on_standard_output(ltb) -> None:
    answer = run_json(ltb, "-m", "experts", "-f", "soft", *TINY_EXPERTS)
    assert [stage["method"] for stage in answer["stages"]] == ["baseline", "experts"]
    assert [(e["methods"], e["fuser"], e["role"]) for e in answer["evaluations"]] == [
        (["baseline"], "none", "reference"),
        (["baseline"], "joint", "control"),
        (["experts"], "soft", "run"),
    ]
    for record in answer["records"]:
        assert record["dataset"]["test"] == 90
        assert set(record["metrics"]["paper"]) >= FOLDS
        assert record["track"]["backbone"].startswith("resnet10 (max_pool=False, ")
        assert {key: value for key, value in record["track"].items() if key != "backbone"} == {
            "pretraining": "none",
            "epochs": 2,
            "augmentation": "shift=2",
            "resolution": 16,
            "storage": "",
            "precision": "fp32",
            "test_views": "centre",
            "transductive": False,
        }


def test_a_dry_run_trains_nothing(ltb, own_cache: Path) -> None:
    plan = run_json(ltb, "-m", "experts", "-f", "soft", *TINY_EXPERTS, "--dry-run")
    assert [(stage["method"], stage["cached"]) for stage in plan["stages"]] == [("baseline", False), ("experts", False)]
    done = ltb("run", "-m", "experts", "-f", "soft", *TINY_EXPERTS, "--dry-run")
    assert done.code == 0
    for said in ("will be trained", "evaluate experts / soft", "experts.reject_ratio", "recipe experts.toml", "--set"):
        assert said in done.out
    assert not list(own_cache.glob("stages/*"))
    assert not list(own_cache.glob("runs/*"))


def test_several_seeds_are_several_runs_and_a_mean(ltb) -> None:
    answer = run_json(ltb, "-m", "baseline", *TINY, "--seeds", "0,1")
    assert [run["config"]["seed"] for run in answer] == [0, 1]
    hashes = {run["records"][0]["logits_sha256"]["test"] for run in answer}
    assert len(hashes) == 2
    done = ltb("run", "-m", "baseline", *TINY, "--seeds", "0,1")
    assert "seed 0, 1" in done.out
    assert "±" in done.out


def comparable(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each record, everything that a second training must give again."""
    return [lasting(record) for record in answer["records"]]


UNKNOWN = [
    (("-m", "expert"), 2, "unknown method 'expert'. Did you mean 'experts'?"),
    (("-m", "baseline", "-f", "joit"), 2, "unknown fuser 'joit'. Did you mean 'joint'?"),
    (("-m", "baseline", "-d", "glyph-lt"), 2, "unknown dataset 'glyph-lt'. Did you mean 'glyphs-lt'?"),
    (
        ("-m", "baseline", *TINY, "-b", "resnet19"),
        2,
        "unknown backbone 'resnet19': no such timm model. Did you mean 'resnet",
    ),
    (("-m", "baseline", "--set", "baseline.optim.epoch=3"), 2, "Did you mean 'baseline.optim.epochs'?"),
    (
        ("-m", "baseline", "--set", "baseline.optim.lr=-1"),
        2,
        "baseline.optim.lr = -1 (from --set): expected a number > 0.",
    ),
    (("-m", "baseline", "--set", "baseline.optim.lr"), 2, "write KEY=VALUE"),
    (("-m", "experts", "--set", "experts.learnable_blocks=0"), 2, "experts.learnable_blocks = 0 (from --set)"),
    (("-m", "experts", "--set", "experts.partition=1"), 2, "experts.partition = 1 (from --set)"),
    (("-m", "baseline", "--seeds", "0,x"), 2, "--seeds 0,x: expected distinct numbers"),
    (("-m", "baseline", "--seeds", "1,1"), 2, "--seeds 1,1: expected distinct numbers"),
    (("-m", "baseline", "--seeds", "1,2", "--seed", "3"), 2, "--seed and --seeds exclude each other"),
    (("-m", "baseline", "--folds", "papers"), 2, "paper"),
    (("-m", "baseline", "-c", "nowhere.toml"), 2, "nowhere.toml: no such file"),
    (("-m", "baseline", "--num-processes", "0"), 2, "--num-processes"),
    (("-m", "baseline", *TINY, *settings(compute={"device": "cuda"})), 2, "compute.device = 'cuda'"),
    (("-m", "baseline", *TINY, "--set", "backbone.kwargs.colour=1"), 2, "backbone 'resnet10' does not take"),
    (
        ("-m", "baseline", *TINY, "--set", "baseline.checkpoint=nowhere.pth"),
        2,
        "checkpoint = nowhere.pth: No such file",
    ),
    (("-m", "baseline", *TINY, "--set", "baseline.optim.batch_size=1"), 2, "optim.batch_size = 1 is too small"),
    ((), 2, "no method chosen"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"), UNKNOWN, ids=lambda value: value if isinstance(value, str) else ""
)
def test_bad_input_is_one_line_and_a_code(ltb, arguments: tuple[str, ...], code: int, message: str) -> None:
    if "cuda" in message and torch.cuda.is_available():
        pytest.skip("this machine has what the test asks for in vain")
    done = ltb("run", *arguments)
    assert message in done.complaint
    assert done.code == code
    assert not done.out


def test_members_that_do_not_cover_every_class_need_a_fuser(ltb, own_cache: Path) -> None:
    done = ltb("run", "-m", "experts", *TINY_EXPERTS, "--set", "fusers=[]")
    assert done.code == 2
    assert "the members of method 'experts' must be fused" in done.err
    assert "--fuser (" in done.err
    assert not list(own_cache.glob("stages/*")), "found out before any training"


def test_a_partition_that_a_recipe_s_exceptions_do_not_fit_says_how_to_drop_them(ltb) -> None:
    done = ltb("run", "-m", "experts", "-f", "soft", *TINY, "--set", "experts.partition=4")
    assert done.code == 2
    assert "experts.subset.few: there is no such expert; there are subset1, subset2, subset3, subset4." in done.err
    assert "--set experts.subset={}" in done.err
    plan = ltb(
        "run",
        "-m",
        "experts",
        "-f",
        "soft",
        *TINY,
        "--set",
        "experts.partition=4",
        "--set",
        "experts.subset={}",
        "--dry-run",
    )
    assert plan.code == 0, plan.err


def test_a_missing_plugin_is_3(ltb, tmp_path: Path) -> None:
    broken = tmp_path / "a_broken_plugin.py"
    broken.write_text("raise ValueError('on purpose')")
    done = ltb("--plugin", broken, "run", "-m", "a_broken_plugin")
    assert done.code == 3
    assert "a_broken_plugin" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_a_cache_that_cannot_be_written_is_4(ltb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "file" / "cache"))
    done = ltb("run", "-m", "baseline", *TINY)
    assert done.code == 4
    assert f"the cache folder {tmp_path / 'file' / 'cache'} cannot be written" in done.complaint
    assert "LTBENCH_CACHE" in done.complaint


@pytest.mark.parametrize("place", ["stages", "runs", "features"])
def test_a_part_of_the_cache_that_cannot_be_written_is_4(ltb, own_cache: Path, place: str) -> None:
    own_cache.mkdir()
    (own_cache / place).touch()
    done = ltb("run", "-m", "baseline", *TINY)
    assert done.code == 4
    assert f"{own_cache / place}" in done.err.splitlines()[-1]
    assert "cannot be written" in done.err
    assert "Traceback" not in done.err


def test_a_user_s_mistake_costs_no_traceback_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = in_subprocess(["run", "-m", "expert"], cache=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "Did you mean 'experts'?" in done.complaint


INTERRUPTING = """
from ltbench.plugin import hookimpl

@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    if stage == "experts/medium":
        raise KeyboardInterrupt

@hookimpl
def ltbench_on_run_error(run, error):
    print(f"heard of {type(error).__name__} in {run.name}")
"""


def test_an_interrupted_run_is_130_and_then_ends_as_if_it_had_not_been(
    ltb, own_cache: Path, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which also shows that the same seed gives the same record: both are trained from scratch, in two caches."""
    plugin = tmp_path / "interrupting.py"
    plugin.write_text(INTERRUPTING)
    arguments = ("-m", "experts", "-f", "joint", *TINY_EXPERTS)
    stopped = ltb("--plugin", plugin, "run", *arguments)
    assert stopped.code == 130
    assert stopped.out.startswith("heard of KeyboardInterrupt in glyphs-lt-experts-s0-")
    assert stopped.err.startswith("trained baseline: all in ")
    assert stopped.err.endswith("Error: interrupted.\n")
    assert "Traceback" not in stopped.err
    (kept,) = own_cache.glob("stages/*/stage.json")
    assert kept.parent.name.startswith("baseline-")

    monkeypatch.setattr(manager, "_files", ())
    monkeypatch.setattr(manager, "_loaded", None)
    finished = run_json(ltb, *arguments)
    monkeypatch.setenv("LTBENCH_CACHE", str(shared_cache))
    assert comparable(finished) == comparable(run_json(ltb, *arguments))


def test_ctrl_c_ends_a_training_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ltbench", "run", "-m", "baseline", *TINY, "--set", "baseline.optim.epochs=100000"]
    process = subprocess.Popen(
        command,
        env=os.environ | {"LTBENCH_CACHE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("stages/*.partial")) and process.poll() is None:
            assert time.monotonic() < deadline, "no training began"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.strip() == "Error: interrupted."
    assert not list(tmp_path.glob("stages/*/stage.json"))


@pytest.fixture(scope="module")
def two_processes(shared_cache: Path) -> tuple[dict[str, Any], Path]:
    """What a run of two processes answers, and its cache; run once for all workers of pytest-xdist."""
    cache = shared_cache.with_name("two-processes")
    answer = cache / "answer.json"
    with FileLock(f"{cache}.lock"):
        if not answer.exists():
            done = in_subprocess(["run", *TOGETHER], cache)
            assert done.code == 0, done.err
            answer.write_text(done.out)
    return json.loads(answer.read_text()), cache


def test_two_processes_train_together_and_one_of_them_writes(two_processes: tuple[dict[str, Any], Path]) -> None:
    answer, cache = two_processes
    assert len(answer["records"]) == 3
    assert len(list(cache.glob("runs/*/records/*/*--*.json"))) == 3
    for stage in answer["stages"]:
        report = json.loads((Path(stage["folder"]) / "stage.json").read_text())
        assert report["num_processes"] == 2
    assert all(record["num_processes"] == 2 for record in answer["records"])


def test_two_processes_measure_every_sample_once_with_the_weights_that_are_stored(
    two_processes: tuple[dict[str, Any], Path], own_cache: Path
) -> None:
    """54 and 90 samples in batches of 8 leave a remainder that accelerate fills up; here one process computes them again."""
    answer, cache = two_processes
    shutil.copytree(cache / "stages", own_cache / "stages", ignore=shutil.ignore_patterns("logits"))
    engine = Engine(resolve_config(RunConfig.model_validate(answer["config"])), Reporter(quiet=True))
    engine.infer()
    for stage in engine.plan.stages:
        alone, stored = read_logits(stage.logits), read_logits(cache / "stages" / stage.folder.name / "logits")
        for split in ("val", "test"):
            ours, theirs = getattr(alone, split), getattr(stored, split)
            assert torch.equal(theirs.indices, torch.arange(len(engine.dataset.split(split))))
            assert torch.equal(theirs.labels, engine.dataset.split(split).labels)
            for mine, kept in zip(ours.members, theirs.members, strict=True):
                torch.testing.assert_close(mine.logits, kept.logits, rtol=1e-4, atol=1e-4)


def test_a_run_ended_before_its_logits_goes_on_with_them(ltb, own_cache: Path) -> None:
    done = ltb("run", "-m", "experts", "-f", "soft", *TINY_EXPERTS, "--json")
    for folder in [*own_cache.glob("stages/*/logits"), own_cache / "features", own_cache / "evaluations"]:
        shutil.rmtree(folder)
    stages = {file: file.read_bytes() for file in own_cache.glob("stages/*/*.*")}
    again = ltb("run", "-m", "experts", "-f", "soft", *TINY_EXPERTS, "--json")
    assert {file: file.read_bytes() for file in own_cache.glob("stages/*/*.*")} == stages, "nothing was trained again"
    first, second = (json.loads(each.out)["records"] for each in (done, again))
    assert [record["correct_bits"] for record in second] == [record["correct_bits"] for record in first]


def test_two_processes_learn_what_one_learns(ltb, two_processes: tuple[dict[str, Any], Path]) -> None:
    """Same samples in each step and the same draws; BatchNorm over half of them makes the difference, of 6 % at most.

    Without BatchNorm there is none, see tests/engine/test_processes.py.
    """
    together = two_processes[0]
    alone = run_json(ltb, "-m", "experts", "-f", "joint", *TINY_EXPERTS)
    for one, two in zip(alone["stages"], together["stages"], strict=True):
        assert one["method"] == two["method"]
        losses = []
        for stage in (one, two):
            lines = [json.loads(line) for line in (Path(stage["folder"]) / "log.jsonl").read_text().splitlines()]
            losses.append({(line["member"], line["epoch"]): line["loss"] for line in lines if "epoch" in line})
        assert losses[0].keys() == losses[1].keys()
        for epoch, loss in losses[0].items():
            assert losses[1][epoch] == pytest.approx(loss, rel=0.15), epoch


def test_a_failure_in_one_of_two_processes_ends_both(tmp_path: Path) -> None:
    """The other one, which waits for it, would wait forever."""
    plugin = tmp_path / "broken_in_one.py"
    plugin.write_text(BROKEN_IN_ONE)
    done = in_subprocess(
        ["--plugin", plugin, "run", "-m", "odd", *DATA, "--num-processes", 2], cache=tmp_path / "cache"
    )
    assert done.code == 3
    assert "method 'odd' needs plugin 'broken_in_one'" in done.err
    assert "Traceback" not in done.err


BROKEN_IN_ONE = """
import os
from ltbench.plugin import MethodSpec, hookimpl

@hookimpl
def ltbench_methods():
    yield MethodSpec("odd", target="ltbench_methods.baseline:Baseline")
    if os.environ.get("RANK") == "1":
        raise ValueError("on purpose")
"""
