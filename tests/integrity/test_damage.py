"""Every kind of file in the cache, damaged in every way: named, set aside and made again, or refused. Never other numbers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from tiny import TOGETHER, Outcome, in_subprocess

from ltbench.common.sealed import read_text
from ltbench.registry import manager

from .damage import DAMAGES, EXPERTS, RUN, SAYS, before, flip, numbers, only, remove

Ltb = Callable[..., Outcome]


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        pattern: where it lies.
        without: what is deleted before the run, so that it reads the file.
        aside: what is set aside, where that is not the file alone.
        silent: it may be deleted without a word.
    """

    pattern: str
    without: tuple[str, ...] = ()
    aside: str = ""
    silent: bool = False


LOGITS = ("evaluations",)
WEIGHTS = ("evaluations", "features", "stages/*/logits")

KINDS = {
    "weights": Kind("stages/*/weights.safetensors", WEIGHTS, aside="stages/*"),
    "stage.json": Kind("stages/*/stage.json", aside="stages/*"),
    "validation logits": Kind("stages/*/logits/val.safetensors", LOGITS, aside="stages/*/logits"),
    "test logits": Kind("stages/*/logits/test.safetensors", LOGITS, aside="stages/*/logits"),
    "members.json": Kind("stages/*/logits/members.json", LOGITS, aside="stages/*/logits"),
    "validation features": Kind("features/val-*", ("evaluations", "stages/*/logits"), silent=True),
    "test features": Kind("features/test-*", ("evaluations", "stages/*/logits"), silent=True),
    "evaluation": Kind("evaluations/*", silent=True),
    "dataset": Kind("datasets/*.safetensors", silent=True),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_set_aside_and_made_again(ltb: Ltb, cache: Path, kind: str, damage: str) -> None:
    pattern, without, aside, silent = KINDS[kind]
    remove(cache, *without)
    file = only(cache, pattern)
    place = only(cache, aside) if aside else file
    DAMAGES[damage](file)
    done = ltb(*RUN)
    assert numbers(done) == before(cache)
    damaged = list(place.parent.glob(f"{place.name}.damaged"))
    said = [line for line in done.err.splitlines() if line.startswith("ltbench: ")]
    if damage == "delete" and silent:
        assert (damaged, said) == ([], [])
        return
    assert len(said) == 1, done.err
    assert said[0].startswith(f"ltbench: {file} {SAYS.get(damage, 'is damaged: ')}")
    assert f"; set aside as {place.name}.damaged, " in said[0]
    assert damaged, "what was there is kept"
    again = ltb(*RUN)
    assert (numbers(again), again.err) == (before(cache), ""), "and then all is well"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["weights", "stage.json", "test logits", "evaluation", "dataset"])
def test_a_command_that_trains_nothing(ltb: Ltb, cache: Path, kind: str, damage: str) -> None:
    """It makes again what needs no training; otherwise it says what does."""
    (name,) = [path.name for path in cache.glob("runs/*")]
    file = only(cache, KINDS[kind].pattern)
    remove(cache, *KINDS[kind].without)
    DAMAGES[damage](file)
    done = ltb("fuse", name, "--fuser", "joint", "--json")
    if kind in ("weights", "stage.json"):
        assert done.code == 4
        assert done.complaint.startswith(f"{file} {SAYS.get(damage, 'is damaged: ')}")
        assert done.complaint.endswith("run 'ltbench run' again, which trains it.")
        assert not list(cache.glob("stages/*.damaged")), "it is left to 'ltbench run'"
    else:
        assert numbers(done) == before(cache)


@pytest.mark.parametrize("damage", DAMAGES)
def test_logits_that_analyze_finds_damaged_are_made_again_by_the_run(ltb: Ltb, cache: Path, damage: str) -> None:
    (name,) = [path.name for path in cache.glob("runs/*")]
    whole = ltb("analyze", name, "--json")
    file = only(cache, "stages/*/logits/test.safetensors")
    DAMAGES[damage](file)
    refused = ltb("analyze", name)
    assert (refused.code, refused.out) == (4, "")
    assert f"Error: {file} {SAYS.get(damage, 'is damaged: ')}" in refused.err
    assert "Run the run's own 'ltbench run' again: it makes the logits anew." in refused.err
    assert numbers(ltb(*RUN)) == before(cache)
    again = ltb("analyze", name, "--json")
    assert (again.code, again.out) == (0, whole.out)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["fuse", "analyze"])
def test_a_damaged_run_json_is_named(ltb: Ltb, cache: Path, command: str, damage: str) -> None:
    file = only(cache, "runs/*/run.json")
    DAMAGES[damage](file)
    options = ["--fuser", "soft"] if command == "fuse" else []
    done = ltb(command, file.parent.name, *options)
    assert done.code == 4
    assert done.complaint.startswith(f"{file} {SAYS.get(damage, 'is damaged: ')}")
    assert done.complaint.endswith("Run the run's own 'ltbench run' again: it writes this file anew.")
    listed = ltb("list", "runs", "--json")
    assert (listed.code, json.loads(listed.out)) == (0, [])
    assert damage == "delete" or listed.err.startswith(f"ltbench: {file} ")
    assert numbers(ltb(*RUN)) == before(cache)
    assert ltb(command, file.parent.name, *options).code == 0


def test_the_run_json_of_another_run_is_refused_in_the_cache_and_a_copied_run_is_not(
    ltb: Ltb, cache: Path, tmp_path: Path
) -> None:
    file = only(cache, "runs/*/run.json")
    shutil.copytree(file.parent, tmp_path / "mine")
    shutil.copytree(file.parent, cache / "runs" / "other")
    assert ltb("fuse", tmp_path / "mine", "--fuser", "soft").code == 0
    done = ltb("fuse", "other", "--fuser", "soft")
    assert done.code == 4
    assert f"other/run.json is damaged: it belongs elsewhere, being 'run {file.parent.name}'" in done.complaint


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_in_the_cache_is_named(ltb: Ltb, cache: Path, damage: str) -> None:
    file = only(cache, "runs/*/records/*/*joint*.json")
    whole = file.read_bytes()
    DAMAGES[damage](file)
    if damage != "delete":
        done = ltb("leaderboard", "--results", cache / "runs")
        assert "1 record is left out" in done.err
        assert f"{file} is damaged: " in done.err
        assert "joint" not in done.out, "it is left out of the ranking"
    assert numbers(ltb(*RUN)) == before(cache)
    assert file.read_bytes() == whole


def test_a_whole_file_in_another_s_place_is_damaged(ltb: Ltb, experts_cache: Path) -> None:
    cache, told = experts_cache, []
    pairs = {
        "stages/{}-*/weights.safetensors": WEIGHTS,
        "stages/{}-*/stage.json": (),
        "stages/{}-*/logits/members.json": LOGITS,
    }
    for pattern, without in pairs.items():
        remove(cache, *without)
        shutil.copy(only(cache, pattern.format("baseline")), only(cache, pattern.format("experts")))
        done = ltb(*EXPERTS)
        assert numbers(done) == before(cache), pattern
        told += [line for line in done.err.splitlines() if "belongs elsewhere" in line]
    assert len(told) == len(pairs)
    for one, other in (("stages/experts-*/logits/val.*", "stages/experts-*/logits/test.*"), ("evaluations/*", "")):
        files = sorted(cache.glob(one))
        target = only(cache, other) if other else files[1]
        if other:
            remove(cache, *LOGITS)
        shutil.copy(files[0], target)
        done = ltb(*EXPERTS)
        assert numbers(done) == before(cache), one
        assert "belongs elsewhere" in done.err, one


def test_weights_of_another_training_of_the_same_stage_are_damaged(ltb: Ltb, cache: Path) -> None:
    """Both files are whole and of this stage; only ``stage.json`` knows which weights were measured."""
    from safetensors.torch import load_file

    from ltbench.common.sealed_tensors import write_tensors

    file = only(cache, "stages/*/weights.safetensors")
    key = json.loads(read_text(file.with_name("stage.json"), must=True))["key"]
    others = {name: value + 1 for name, value in load_file(file).items()}
    write_tensors(file, others, f"weights of stage baseline {key}")
    remove(cache, *WEIGHTS)
    done = ltb(*RUN)
    assert numbers(done) == before(cache)
    assert f"{file} is damaged: stage.json was written with other weights; set aside as" in done.err


def test_an_evaluation_is_of_the_weights_that_are_there(ltb: Ltb, cache: Path) -> None:
    """A stage that is trained again on a GPU may get others, and then nothing measured before may stand for it."""
    from safetensors.torch import load_file

    from ltbench.common.sealed import read_json, write_json
    from ltbench.common.sealed_tensors import write_tensors

    file = only(cache, "stages/*/weights.safetensors")
    report = json.loads(read_text(file.with_name("stage.json"), must=True))
    of = f"stage baseline {report['key']}"
    others = {name: -value if "head" in name else value for name, value in load_file(file).items()}
    seal = write_tensors(file, others, f"weights of {of}")
    about = read_json(file.with_name("stage.json"), f"report of {of}") | {"weights_sha256": seal}
    write_json(file.with_name("stage.json"), about, f"report of {of}")
    remove(cache, "stages/*/logits")
    done = ltb(*RUN)
    assert done.err == ""
    for ours, theirs in zip(numbers(done), before(cache), strict=True):
        assert ours["logits_sha256"] != theirs["logits_sha256"]
        assert ours["correct_bits"] != theirs["correct_bits"]


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_weights_that_another_method_starts_from_are_looked_at(ltb: Ltb, experts_cache: Path, damage: str) -> None:
    """The baseline's logits are there and nobody would read its weights, but the experts are to be trained from them."""
    cache = experts_cache
    remove(cache, "stages/experts-*")
    file = only(cache, "stages/baseline-*/weights.safetensors")
    DAMAGES[damage](file)
    done = ltb(*EXPERTS)
    assert numbers(done) == before(cache)
    assert f"ltbench: {file} " in done.err
    assert "the stage is trained again" in done.err


def test_weights_that_nobody_reads_are_not_looked_at(ltb: Ltb, cache: Path) -> None:
    remove(cache, "evaluations")
    file = only(cache, "stages/*/weights.safetensors")
    file.unlink()
    done = ltb(*RUN)
    assert (numbers(done), done.err) == (before(cache), "")


INTERRUPTING = """
from ltbench.plugin import hookimpl

@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    if stage == "experts/medium":
        raise KeyboardInterrupt
"""


@pytest.fixture
def interrupted(
    ltb: Ltb, experts_cache: Path, tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The cache after a run that was interrupted in its second training; the first one's checkpoint is there."""
    template = shared_cache.with_name("integrity-interrupted")
    with FileLock(f"{template}.lock"):
        if not template.exists():
            remove(experts_cache, "stages/experts-*", "evaluations")
            plugin = tmp_path / "interrupting.py"
            plugin.write_text(INTERRUPTING)
            assert ltb("--plugin", plugin, *EXPERTS).code == 130
            monkeypatch.setattr(manager, "_files", ())
            monkeypatch.setattr(manager, "_loaded", None)
            shutil.copytree(experts_cache, template)
    shutil.rmtree(experts_cache)
    shutil.copytree(template, experts_cache)
    return experts_cache


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_costs_the_training_and_nothing_else(ltb: Ltb, interrupted: Path, damage: str) -> None:
    file = only(interrupted, "stages/experts-*.partial/checkpoint/many.safetensors")
    DAMAGES[damage](file)
    done = ltb(*EXPERTS)
    assert numbers(done) == before(interrupted)
    said = [line for line in done.err.splitlines() if line.startswith("ltbench: ")]
    if damage == "delete":
        assert said == []
    else:
        assert len(said) == 1, done.err
        assert said[0].startswith(f"ltbench: {file} is damaged: ")
        assert said[0].endswith("; set aside as many.safetensors.damaged, this training starts again.")


@pytest.mark.parametrize("kind", ["weights", "test logits", "evaluation"])
def test_in_a_process_of_its_own(cache: Path, kind: str) -> None:
    remove(cache, *KINDS[kind].without)
    file = only(cache, KINDS[kind].pattern)
    flip(file)
    done = in_subprocess(RUN, cache)
    assert numbers(done) == before(cache)
    assert f"ltbench: {file} is damaged: cut short or changed since it was written; set aside as" in done.err


def test_of_two_processes_one_decides(finished: Callable[..., Path], own_cache: Path) -> None:
    """Features, logits and weights are found damaged by the first process; the other one does as it does."""
    together = ["run", *TOGETHER]
    whole = finished("two-processes", together, lambda cache, arguments: in_subprocess(arguments, cache))
    cache = shutil.copytree(whole, own_cache)
    remove(cache, "evaluations", "stages/baseline-*/logits")
    patterns = ("features/test-*", "stages/experts-*/logits/val.safetensors", "stages/experts-*/weights.safetensors")
    damaged = [file for pattern in patterns for file in cache.glob(pattern)]
    for file in damaged:
        flip(file)
    done = in_subprocess(together, cache)
    assert numbers(done) == before(cache)
    said = [line for line in done.err.splitlines() if line.startswith("ltbench: ")]
    assert sorted(line.split()[1] for line in said) == sorted(map(str, damaged)), done.err
