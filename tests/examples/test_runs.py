"""Trained by the command line, the examples come to the same on two processes as on one, and killed and resumed as whole."""

import json
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from tiny import in_subprocess

import ltbench
from ltbench import manager
from ltbench.engine import checkpoint
from ltbench.engine.checkpoint import Progress
from ltbench.logits import LogitsFolder, read_logits
from ltbench.recipes import resolve
from ltbench.results.store import read_record

from .table import ALL, FILES, METHODS, RUN

TRAINED = ("baseline", *METHODS)

LOGITS_CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""Their standard deviation is 0.2 to 8."""


@pytest.fixture(scope="module")
def caches(shared_cache: Path) -> dict[str, Path]:
    """The cache folders after a run on one process, on two, and killed in each training and resumed."""
    base = shared_cache.with_name("examples")
    found = {name: base / name for name in ("one", "two", "killed")}
    with FileLock(f"{base}.lock"):
        if not base.exists():
            run_here(found["one"], kill=False)
            assert run_here(found["killed"], kill=True) == len(TRAINED)
            done = in_subprocess([*ALL, "--num-processes", 2], found["two"], timeout=900)
            assert done.code == 0, done.err
    return found


class Killed(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


def run_here(cache: Path, kill: bool) -> int:
    """The run in this process. With ``kill`` each training ends when its second epoch is done and not yet kept, and the run is
    started again; returns how often."""
    begun, kills, add = False, 0, Progress.add

    def add_or_die(progress: Progress, *arguments: object) -> None:
        nonlocal begun
        if kill and begun and progress.epochs_done == 1:
            raise Killed
        begun = True
        add(progress, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_files", "_loaded"):
            patch.setattr(manager, name, getattr(manager, name))
        patch.setenv("LTBENCH_CACHE", str(cache))
        patch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
        patch.setattr(Progress, "add", add_or_die)
        manager.use_plugin_files(FILES)
        config = resolve(methods=list(METHODS), fusers=["log-prior"], overrides=RUN[1::2]).config
        while True:
            try:
                ltbench.run(config)
            except Killed:
                begun, kills = False, kills + 1
            else:
                return kills


def stage(cache: Path, method: str) -> Path:
    (folder,) = cache.glob(f"stages/{method}-*")
    return folder


def logits(cache: Path, method: str) -> LogitsFolder:
    return read_logits(stage(cache, method) / "logits")


def losses(cache: Path, method: str) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (stage(cache, method) / "log.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["loss"]) for line in lines if "epoch" in line]


@pytest.mark.parametrize("method", TRAINED)
def test_two_processes_train_as_one_does(caches: dict[str, Path], method: str) -> None:
    one, two = losses(caches["one"], method), losses(caches["two"], method)
    assert [epoch for epoch, _ in one] == [epoch for epoch, _ in two] == [1, 2]
    assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], rel=1e-5)
    ours, theirs = logits(caches["two"], method), logits(caches["one"], method)
    for mine, other in zip((*ours.val.members, *ours.test.members), (*theirs.val.members, *theirs.test.members)):
        assert mine.name == other.name
        assert other.logits.std() > 0.1
        torch.testing.assert_close(mine.logits, other.logits, **LOGITS_CLOSE)


@pytest.mark.parametrize("method", TRAINED)
def test_a_killed_and_resumed_training_ends_bit_identical(caches: dict[str, Path], method: str) -> None:
    whole, resumed = stage(caches["one"], method), stage(caches["killed"], method)
    assert resumed.name == whole.name, "the same key"
    expected, found = load_file(whole / "weights.safetensors"), load_file(resumed / "weights.safetensors")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert losses(caches["killed"], method) == losses(caches["one"], method)


def test_the_fuser_answers_alike(caches: dict[str, Path]) -> None:
    """Of all methods together; up to one sample on the verge."""
    correct = {}
    for name, cache in caches.items():
        found = [read_record(file) for file in cache.glob("runs/*/records/*/*--log-prior--*.json")]
        (correct[name],) = [record.correct() for record in found if record.methods == tuple(METHODS)]
    assert (correct["killed"] == correct["one"]).all()
    assert (correct["two"] != correct["one"]).sum() <= 1
