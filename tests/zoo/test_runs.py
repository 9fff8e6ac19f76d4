"""Trained by the command line, the zoo comes to the same on two processes as on one, and killed and resumed as whole."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import ltbench_zoo
import pytest
import torch
from examples.table import DATASET, TRANSFORMER
from filelock import FileLock
from safetensors.torch import load_file
from tiny import in_subprocess, settings
from trials import logits, losses, run_here, stage

SPECS = {spec.name: spec for spec in ltbench_zoo.ltbench_methods()}
METHODS = list(SPECS)
TRAINED_ON = 133
"""Training images."""

WITHIN_A_PART = ("lifted", "range")
"""Their pairs are those within a process's part of a batch: two processes are another training, as docs/methods.md says."""

OPTIM = {"epochs": 2, "batch_size": 40, "lr": 0.05, "weight_decay": 5e-4, "validate_every": 2}
"""Batches of whole groups of 4 and of 8, and a remainder; what the second epoch leaves is kept."""

SECOND: dict[str, dict[str, Any]] = {
    "ldam-drw": {"defer": 0.5},
    "weight-balancing": {"classifier": OPTIM},
    "fslwf": {"episodes": OPTIM},
    "ride": {"defer": 0.5},
    "bcl": {"width": 16},
}
"""Beside ``optim``: one epoch of LDAM and of RIDE is weighted and one is not; two methods have two trainings of two epochs."""

TRAINED = [name for name in METHODS if name != "tau-norm"]

RUN = [
    *settings(dataset={"options": DATASET}),
    *settings(backbone={"name": f'"{TRANSFORMER["name"]}"', "kwargs": TRANSFORMER["kwargs"]}),
    *settings(compute={"device": '"cpu"', "precision": '"fp32"', "eval_batch_size": 16}),
    *settings(**{name: {"optim": OPTIM, **SECOND.get(name, {})} for name in ("baseline", *TRAINED)}),
]


@pytest.fixture(scope="module")
def caches(shared_cache: Path) -> dict[str, Path]:
    """The cache folders after a run on one process, on two, and killed in each training and resumed."""
    base = shared_cache.with_name("zoo")
    found = {name: base / name for name in ("one", "two", "killed")}
    with FileLock(f"{base}.lock"):
        if not base.exists():
            run = partial(run_here, methods=METHODS, fuser="soft", overrides=RUN[1::2])
            run(found["one"], kill=False)
            assert run(found["killed"], kill=True) == len({"baseline", *TRAINED}) + 2
            chosen = [part for name in METHODS for part in ("-m", name)]
            done = in_subprocess(["run", *chosen, "-f", "soft", *RUN, "--num-processes", 2], found["two"], timeout=900)
            assert done.code == 0, done.err
    return found


@pytest.mark.parametrize("method", [name for name in METHODS if name not in WITHIN_A_PART])
def test_two_processes_train_as_one_does(caches: dict[str, Path], method: str) -> None:
    one, two = losses(caches["one"], method), losses(caches["two"], method)
    assert [epoch for epoch, _ in one] == [epoch for epoch, _ in two]
    assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], rel=1e-4)
    ours, theirs = logits(caches["two"], method), logits(caches["one"], method)
    for mine, other in zip((*ours.val.members, *ours.test.members), (*theirs.val.members, *theirs.test.members)):
        spread = float(other.logits.std())
        assert spread > 0
        torch.testing.assert_close(mine.logits, other.logits, rtol=1e-3, atol=1e-3 * spread)


OF_IMAGES = {"bcl": 3 * 2 * TRAINED_ON, "mislas": TRAINED_ON}
"""Three views; one pass over the images."""


@pytest.mark.parametrize("method", METHODS)
def test_the_cost_is_the_same_on_two_processes_and_after_a_kill(caches: dict[str, Path], method: str) -> None:
    found = {
        name: json.loads((stage(cache, method) / "stage.json").read_text())["cost"] for name, cache in caches.items()
    }
    assert all(cost.pop("seconds") > 0 for cost in found.values())
    assert found["two"] == found["one"] == found["killed"]
    if not SPECS[method].requires and method != "fslwf":
        assert found["one"]["images"] == OF_IMAGES.get(method, 2 * TRAINED_ON)
    elif method in OF_IMAGES:
        assert found["one"]["images"] == OF_IMAGES[method]


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_and_resumed_training_ends_bit_identical(caches: dict[str, Path], method: str) -> None:
    whole, resumed = stage(caches["one"], method), stage(caches["killed"], method)
    assert resumed.name == whole.name, "the same key"
    expected, found = load_file(whole / "weights.safetensors"), load_file(resumed / "weights.safetensors")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert losses(caches["killed"], method) == losses(caches["one"], method)
