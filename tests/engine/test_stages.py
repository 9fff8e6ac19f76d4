"""Stages: trained once, found again by whoever needs them, and by nobody else."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tiny import BASELINE, DATA, EXPERTS, OPTIONS, TINY, TINY_EXPERTS, Outcome, settings

from ltbench.engine import stages
from ltbench.errors import DataError
from ltbench.results.stage import Stage

COUNTING = """
import os
from ltbench.plugin import hookimpl

@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    with open(os.environ["EPOCHS_TRAINED"], "a") as file:
        file.write(f"{stage} {epoch}\\n")
"""


@pytest.fixture
def trained(ltb: Callable[..., Outcome], plugin_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs and says which epochs were trained: ``trained("--method", "baseline")`` -> ["baseline/all 1", ...]."""
    log = tmp_path / "epochs.txt"
    monkeypatch.setenv("EPOCHS_TRAINED", str(log))
    counting = plugin_file("counting_epochs", COUNTING)

    def call(*arguments: str) -> list[str]:
        log.write_text("")
        done = ltb("--plugin", counting, "run", *arguments)
        assert done.code == 0, done.err
        return log.read_text().splitlines()

    return call


@pytest.fixture
def keys(ltb: Callable[..., Outcome]) -> Callable[..., dict[str, str]]:
    """Method -> key of its stage in the plan of a run."""

    def call(*arguments: Any) -> dict[str, str]:
        done = ltb(*arguments, "--dry-run", "--json")
        assert done.code == 0, done.err
        return {stage["method"]: stage["key"] for stage in json.loads(done.out)["stages"]}

    return call


BASELINE_EPOCHS = ["baseline/all 1", "baseline/all 2"]
EXPERTS_EPOCHS = ["experts/many 1", "experts/medium 1", "experts/medium 2", "experts/few 1", "experts/few 2"]


def test_each_stage_is_trained_once(trained, own_cache: Path) -> None:
    assert trained("--method", "baseline", *TINY) == BASELINE_EPOCHS
    (made,) = own_cache.glob("stages/baseline-*/stage.json")
    changed = made.stat().st_mtime_ns

    assert trained("--method", "baseline", *TINY) == [], "the second run trains nothing"
    assert trained("--method", "experts", "--fuser", "soft", *TINY_EXPERTS) == EXPERTS_EPOCHS, "the baseline is reused"
    assert trained("--method", "experts", "--fuser", "kl", *TINY_EXPERTS) == [], "nor does another fuser"
    assert trained("--method", "baseline", "--method", "experts", "--fuser", "soft", *TINY_EXPERTS) == [], (
        "nor an ensemble"
    )
    assert made.stat().st_mtime_ns == changed
    assert not list(own_cache.glob("stages/*.partial"))


def test_what_decides_the_outcome_decides_the_key(keys: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    def with_(*arguments: Any) -> dict[str, str]:
        return keys("run", "--method", "experts", "--fuser", "soft", *TINY_EXPERTS, *arguments)

    usual = with_()
    assert with_("--set", "joint.l2=0.5", "--set", "compute.eval_batch_size=7", "--fuser", "kl") == usual
    of_all = [
        ("--seed", 1),
        settings(backbone={"kwargs": {"drop_rate": 0.1}}),
        settings(baseline={"optim": {"lr": 0.2}}),
        settings(dataset={"options": {"seed": 1}}),
        settings(augment={"shift": 1}),
        settings(backbone={"projection": 8}),
        settings(compute={"precision": "bf16"}),
        settings(compute={"gradient_accumulation": 2}),
    ]
    found = [with_(*arguments) for arguments in of_all]
    for method in ("baseline", "experts"):
        assert len({usual[method], *(key[method] for key in found)}) == len(of_all) + 1, method
    bare = settings(dataset={"options": OPTIONS}, baseline=BASELINE, experts=EXPERTS)
    models = [
        keys("run", "--method", "experts", "--fuser", "soft", *bare, "--backbone", name)
        for name in ("resnet18", "resnet34")
    ]
    assert all(models[0][method] != models[1][method] for method in ("baseline", "experts"))
    hundred = settings(dataset={"options": {"train_counts": [120, 100, 57, 39, 27, 18, 13, 9, 6]}})
    rules = [with_(*hundred, "--folds", rule) for rule in ("paper", "kang")]
    assert all(rules[0][method] != rules[1][method] for method in ("baseline", "experts")), "100 images: many, or not"
    assert with_("--folds", "kang") == usual, "no class has 100 images"
    only_experts = with_(*settings(experts={"reject_ratio": 8}))
    assert only_experts["baseline"] == usual["baseline"]
    assert only_experts["experts"] != usual["experts"]


MINE = """
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline

@hookimpl
def ltbench_methods():
    yield MethodSpec("mine", target="my_own_method:Mine", recipe="baseline")

class Mine(Baseline):
    def fit(self, context, members):
        import os
        if "FAIL" in os.environ:
            raise RuntimeError("out of luck")
        super().fit(context, members)
"""


TINY_MINE = [*DATA, *settings(mine=BASELINE), "--no-controls"]


def test_the_content_of_a_checkpoint_decides_the_key(keys, tmp_path: Path) -> None:
    file, same = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    file.write_bytes(b"one")
    same.write_bytes(b"one")
    first = keys("run", "--method", "baseline", *TINY, "--set", f"baseline.checkpoint={file}")
    assert keys("run", "--method", "baseline", *TINY, "--set", f"baseline.checkpoint={same}") == first
    file.write_bytes(b"another")
    assert keys("run", "--method", "baseline", *TINY, "--set", f"baseline.checkpoint={file}") != first


def test_a_failed_stage_is_trained_again(ltb, plugin_file, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plugin_file("my_own_method", MINE)
    monkeypatch.setenv("FAIL", "1")
    failed = ltb("--plugin", path, "run", "--method", "mine", *TINY_MINE)
    assert failed.code == 3
    assert "out of luck" in failed.err
    assert not list(own_cache.glob("stages/*/stage.json"))
    monkeypatch.delenv("FAIL")
    done = ltb("--plugin", path, "run", "--method", "mine", *TINY_MINE)
    assert done.code == 0
    assert "trained mine" in done.err


def test_whoever_waits_for_another_process_says_so(tmp_path: Path) -> None:
    stage = Stage("mine", "key", {}, tmp_path / "stages" / "mine-key")
    said: list[str] = []
    with stages.lock(stage, said.append):
        assert said == []
        waiting = Thread(target=lambda: stages.lock(stage, said.append).__enter__(), daemon=True)
        waiting.start()
        while not said:
            assert waiting.is_alive()
            time.sleep(0.01)
    waiting.join(timeout=60)
    assert not waiting.is_alive(), "the lock is free again"
    assert said == ["waiting for another process that trains mine"]


def test_an_error_of_a_training_is_not_taken_for_one_of_the_lock(tmp_path: Path) -> None:
    stage = Stage("mine", "key", {}, tmp_path / "stages" / "mine-key")
    with pytest.raises(PermissionError, match="of the data"), stages.lock(stage, print):
        raise PermissionError("of the data")
    (tmp_path / "file").touch()
    below_a_file = Stage("mine", "key", {}, tmp_path / "file" / "mine")
    with pytest.raises(DataError, match="cannot be written"), stages.lock(below_a_file, print):
        pass


def test_of_two_processes_that_want_one_stage_one_trains_it(plugin_file, own_cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "epochs.txt"
    command = [sys.executable, "-m", "ltbench", "--plugin", str(plugin_file("counting_epochs", COUNTING))]
    environment = os.environ | {"LTBENCH_CACHE": str(own_cache), "EPOCHS_TRAINED": str(log)}
    both = [
        subprocess.Popen(
            [*command, "run", "--method", "baseline", "--fuser", fuser, *TINY],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for fuser in ("soft", "kl")
    ]
    answers = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert log.read_text().splitlines() == BASELINE_EPOCHS
    assert sum("trained baseline" in err for _, err in answers) == 1
