"""Trained by the command line, the examples come to the same on two processes as on one, and killed (SIGKILL) and resumed as
whole."""

import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from lives import KILLER
from safetensors.torch import load_file
from tiny import in_subprocess
from trials import logits, losses, run_here, stage

from ltbench.results.store import read_record

from .table import ALL, FILES, METHODS, RUN, alone

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
            run = partial(run_here, methods=list(METHODS), fuser="log-prior", overrides=RUN[1::2], files=FILES)
            run(found["one"], kill=False)
            assert run(found["killed"], kill=True) == len(TRAINED)
            done = in_subprocess([*ALL, "--num-processes", 2], found["two"], timeout=900)
            assert done.code == 0, done.err
    return found


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
    ours, theirs = logits(caches["killed"], method), logits(caches["one"], method)
    for mine, other in zip((*ours.val.members, *ours.test.members), (*theirs.val.members, *theirs.test.members)):
        assert torch.equal(mine.logits, other.logits), mine.name


def test_the_command_itself_is_killed_and_typed_again(caches: dict[str, Path], tmp_path: Path) -> None:
    """Of the method that keeps most beside its member: a projection, a slow copy of the network, and a queue of keys."""
    command = [part for file in (*FILES, KILLER) for part in ("--plugin", file)] + ["run", "-m", "contrasted"]
    command += [part for setting in alone("contrasted") for part in ("--set", setting)]
    assert in_subprocess(command, tmp_path).code == -signal.SIGKILL
    assert not list(tmp_path.glob("stages/contrasted-*/weights.safetensors"))
    assert len(list(tmp_path.glob("stages/contrasted-*.partial/checkpoint/*.safetensors"))) == 1
    done = in_subprocess(command, tmp_path)
    assert done.code == 0, done.err
    expected, found = (
        load_file(stage(each, "contrasted") / "weights.safetensors") for each in (caches["one"], tmp_path)
    )
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert losses(tmp_path, "contrasted") == losses(caches["one"], "contrasted")


def test_the_fuser_answers_alike(caches: dict[str, Path]) -> None:
    """Of all methods together; up to one sample on the verge."""
    correct = {}
    for name, cache in caches.items():
        found = [read_record(file) for file in cache.glob("runs/*/records/*/*--log-prior--*.json")]
        (correct[name],) = [record.correct() for record in found if record.methods == tuple(METHODS)]
    assert (correct["killed"] == correct["one"]).all()
    assert (correct["two"] != correct["one"]).sum() <= 1
