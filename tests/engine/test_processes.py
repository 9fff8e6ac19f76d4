"""Two processes do what one does, up to float noise: the same batches and draws, whoever computes them.

For that the network must have no BatchNorm: its statistics are those of each process's part of a batch.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from pictures import tree
from tiny import DATA, in_subprocess, settings

import ltbench
from ltbench.cli import launch
from ltbench.cli.launch import check_number
from ltbench.config import ComputeConfig
from ltbench.engine.machine.compute import Compute
from ltbench.errors import UsageError
from ltbench.results.logits import LogitsFolder, read_logits
from ltbench.results.record import Record
from ltbench.results.store import read_record
from ltbench.settings.recipes import resolve

from . import together

COUNTS = (130, 70, 50, 40, 36, 30, 24, 20)
VAL, TEST = 4, 8
"""Images of each class that are carved; 118 to 8 are left to train on."""

SETTINGS: dict[str, Any] = {
    "dataset": {"name": '"folder"', "options": {"val_per_class": VAL, "test_per_class": TEST}},
    "backbone": {
        "name": '"vit_tiny_patch16_224"',
        "kwargs": {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2},
    },
    # Everything random is on.
    "augment": {
        "size": 16,
        "shift": 1,
        "flip": True,
        "crop_scale": [0.5, 1.0],
        "color_jitter": [0.2, 0.2, 0.2, 0.05],
    },
    # 32 and 64 samples in batches of 6 leave a remainder.
    "compute": {"device": '"cpu"', "precision": '"fp32"', "eval_batch_size": 6, "workers": 0},
    # Odd batches, and remainders of 4 or more: less would join the batch before it, with two processes alone.
    "baseline": {"optim": {"epochs": 5, "batch_size": 39, "lr": 0.05}},
    "prototype": {"optim": {"epochs": 2, "batch_size": 33, "lr": 0.05}, "samples_per_class": 3, "views": 2},
}

EXPERTS = {"experts": {"optim": {"epochs": 2, "batch_size": 17, "lr": 0.05, "min_steps": 0}}}
LEARNING_BACKBONE = {"prototype": {"learnable_blocks": '"all"'}}
OTHERWISE = {"compute": {"gradient_accumulation": 2, "gradient_checkpointing": True, "workers": 1}}
"""Other ways to the same gradients."""

LOGITS_CLOSE = {"rtol": 1e-3, "atol": 2e-3}
"""Their standard deviation is 2 to 7."""


@pytest.fixture(scope="module")
def images(shared_cache: Path) -> Path:
    """A folder of small JPEGs, which worker processes read and cut."""
    root = shared_cache.with_name("processes-images")
    with FileLock(f"{root}.lock"):
        if not root.exists():
            tree(root, {f"class{number}": count for number, count in enumerate(COUNTS)})
    return root


def overrides(images: Path, *more: dict[str, Any]) -> list[str]:
    every = [
        settings(**SETTINGS),
        *(settings(**changes) for changes in more),
        settings(dataset={"root": f'"{images}"'}),
    ]
    return [override for part in every for override in part[1::2]]


def with_set(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def alone(cache: Path, methods: list[str], values: list[str], monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setenv("LTBENCH_CACHE", str(cache))
    return ltbench.run(resolve(methods=methods, fusers=["joint"], overrides=values).config)


def torchrun(*arguments: Any, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = os.environ | {"LTBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def stored_logits(cache: Path, method: str) -> LogitsFolder:
    (folder,) = cache.glob(f"stages/{method}-*/logits")
    return read_logits(folder)


def losses(cache: Path, method: str) -> dict[tuple[str, int], tuple[float, float]]:
    """(member, epoch) -> loss, validation accuracy."""
    (file,) = cache.glob(f"stages/{method}-*/log.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {(line["member"], line["epoch"]): (line["loss"], line["val_accuracy"]) for line in lines if "epoch" in line}


def assert_same_logits(ours: LogitsFolder, theirs: LogitsFolder) -> None:
    for split in ("val", "test"):
        pairs = zip(getattr(ours, split).members, getattr(theirs, split).members, strict=True)
        for mine, other in pairs:
            assert mine.name == other.name
            torch.testing.assert_close(mine.logits, other.logits, **LOGITS_CLOSE)


def assert_same_record(ours: Record, theirs: Record) -> None:
    """Up to one sample on the verge."""
    assert (ours.methods, ours.fuser) == (theirs.methods, theirs.fuser)
    assert (ours.labels() == theirs.labels()).all()
    assert (ours.correct() != theirs.correct()).sum() <= 1


@pytest.fixture(scope="module")
def two_processes(images: Path, shared_cache: Path) -> Path:
    """The cache after ``ltbench run --num-processes 2``; run once for all workers of pytest-xdist."""
    cache = shared_cache.with_name("two-processes-without-batchnorm")
    with FileLock(f"{cache}.lock"):
        if not cache.exists():
            command = ["run", "-m", "experts", "-m", "prototype", "-f", "joint", "--num-processes", 2]
            done = in_subprocess([*command, *with_set(overrides(images, EXPERTS))], cache)
            assert done.code == 0, done.err
            assert done.err.count("note: no recipe for method 'experts'") == 1, "one process speaks"
    return cache


def test_two_processes_leave_the_record_of_one(
    two_processes: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(tmp_path, ["experts", "prototype"], overrides(images, EXPERTS), monkeypatch)
    for method in ("baseline", "experts", "prototype"):
        ours, theirs = losses(two_processes, method), losses(tmp_path, method)
        assert ours.keys() == theirs.keys()
        for epoch, (loss, _) in theirs.items():
            assert ours[epoch][0] == pytest.approx(loss, rel=1e-3), (method, epoch)
        assert_same_logits(stored_logits(two_processes, method), stored_logits(tmp_path, method))
    for file in tmp_path.glob("runs/*/records/*/*--*.json"):
        expected = read_record(file)
        (made,) = two_processes.glob(f"runs/*/records/*/{file.name}")
        record = read_record(made)
        assert (expected.num_processes, record.num_processes) == (1, 2)
        assert_same_record(record, expected)
        assert record.methods != ("experts", "prototype") or record.accuracy("paper")["all"] > 50, "it did learn"


@pytest.mark.parametrize("method", ["baseline", "experts", "prototype"])
def test_every_sample_is_stored_once_and_in_order(two_processes: Path, method: str) -> None:
    stored = stored_logits(two_processes, method)
    for split, each in ((stored.val, VAL), (stored.test, TEST)):
        assert torch.equal(split.indices, torch.arange(len(COUNTS) * each))
        assert torch.equal(split.labels, torch.arange(len(COUNTS)).repeat_interleave(each))
        assert {len(member.logits) for member in split.members} == {len(COUNTS) * each}


def test_every_process_gets_the_record_from_python_also_of_a_resumed_run(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under torchrun, with the backbone learning, memory saved in both ways, worker processes, killed in between; the one
    process does it plainly. Different plans, or two cache folders, as on two machines that share none, are an error on
    both."""
    script, own = Path(together.__file__), tmp_path / "alone"
    done = torchrun(script, tmp_path, *overrides(images, LEARNING_BACKBONE, OTHERWISE), cache=tmp_path / "unused")
    assert done.returncode == 0, done.stderr

    first, second = (Record.model_validate_json((tmp_path / f"record-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first.num_processes == 2
    expected = alone(own, ["prototype"], overrides(images, LEARNING_BACKBONE), monkeypatch)
    for method in ("baseline", "prototype"):
        assert_same_logits(stored_logits(tmp_path / "cache", method), stored_logits(own, method))
    assert_same_record(first, expected)

    for kind, beginning in (
        ("plan", "the processes plan different runs: on "),
        ("cache", f"the processes share no cache: {tmp_path / 'cache-of-1'} on "),
    ):
        messages = [(tmp_path / f"{kind}-{rank}.txt").read_text() for rank in (0, 1)]
        assert messages[0] == messages[1]
        assert messages[0].startswith(beginning)


def test_torchrun_starts_processes_that_train_together(tmp_path: Path) -> None:
    """Here with BatchNorm: each process normalises by its part of the batch, and the main one's statistics are kept."""
    options = settings(
        dataset={"options": {"num_classes": 5, "max_count": 30, "val_per_class": 2, "test_per_class": 2}},
        baseline={"optim": {"epochs": 1, "batch_size": 33}},
    )
    done = torchrun("-m", "ltbench", "run", "-m", "baseline", *DATA, *options, "--json", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [record["num_processes"] for record in answer["records"]] == [2, 2]
    assert len(list(tmp_path.glob("runs/*/records/*/*--*.json"))) == 2


def test_processes_are_not_started_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WORLD_SIZE": 4,
        "RANK": 1,
        "LOCAL_RANK": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(
        UsageError, match=r"^--num-processes 2: this process is one of 4 that torchrun .* leave the option"
    ):
        check_number(2, oversubscribe=True)


def test_more_processes_than_cores_are_started_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "usable_cores", lambda: 3)
    check_number(3, oversubscribe=False)
    check_number(4, oversubscribe=True)
    with pytest.raises(
        UsageError, match=r"^--num-processes 4: this command may use 3 cores; .* add --oversubscribe\.$"
    ):
        check_number(4, oversubscribe=False)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(UsageError, match=r"^8 processes were started on this machine, where torch sees 4 GPU\(s\)"):
        Compute(ComputeConfig(device="cuda", precision="fp32"))
