"""``ltbench fuse``: on a run it trains nothing; on a folder of logits it says what is wrong with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import TINY, TINY_EXPERTS, Outcome

import ltbench
from ltbench.results.logits import LogitsFolder, SplitLogits, write_logits
from ltbench.statistics.metrics import calibration_error

NUM_CLASSES = 5
COUNTS = np.array([200, 120, 50, 30, 5])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Logits of a full member and of two partial ones for 25 and 50 samples, made with numpy alone."""
    rng = np.random.default_rng(0)
    splits = {}
    for name, each in (("val", 5), ("test", 10)):
        labels = np.repeat(np.arange(NUM_CLASSES), each)
        members = []
        for member, classes, outside in (
            ("full", range(5), "none"),
            ("head", [0, 1], "reject"),
            ("tail", [2, 3, 4], "reject"),
        ):
            logits = rng.normal(size=(len(labels), len(classes) + (outside == "reject")))
            logits[:, : len(classes)] += 2 * (labels[:, None] == np.array(classes))
            members.append(
                ltbench.MemberLogits(member, "mine", torch.tensor(list(classes)), outside, torch.tensor(logits))
            )
        splits[name] = SplitLogits(members, torch.tensor(labels), torch.arange(len(labels)))
    write_logits(tmp_path / "logits", LogitsFolder(NUM_CLASSES, COUNTS, splits["val"], splits["test"]))
    return tmp_path / "logits"


def test_a_folder_is_fused_as_the_python_interface_does_it(ltb, folder: Path) -> None:
    done = ltb("fuse", folder, "--fuser", "soft", "--fuser", "joint", "--set", "joint.l2=0.01", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["samples"] == 50
    described = json.loads((folder / "members.json").read_text())
    val, test = load_file(folder / "val.safetensors"), load_file(folder / "test.safetensors")

    def members(tensors: dict[str, torch.Tensor]) -> list[ltbench.MemberLogits]:
        return [ltbench.MemberLogits(**entry, logits=tensors[entry["name"]]) for entry in described["members"]]

    for name, config in (("soft", {}), ("joint", {"l2": 0.01})):
        fuser = ltbench.get_fuser(name, NUM_CLASSES, **config).fit(members(val), val["labels"])
        log_q = fuser.log_posterior(members(test))
        confidence, predictions = log_q.exp().max(dim=1)
        assert answer["fusers"][name]["accuracy"] == ltbench.fold_accuracy(predictions, test["labels"], COUNTS)
        error = calibration_error(confidence, predictions == test["labels"])
        assert answer["fusers"][name]["ece"] == pytest.approx(error, abs=1e-3)
    assert answer["fusers"]["joint"]["state"]


def test_a_folder_s_table_names_every_fuser(ltb, folder: Path) -> None:
    done = ltb("fuse", folder, "--fuser", "soft", "--fuser", "kl", "--folds", "oltr")
    assert done.code == 0, done.err
    assert [word in done.out for word in ("soft", "kl", "Many", "Few", "oltr")] == [True] * 5


def edit_json(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads((folder / "members.json").read_text())
    change(content)
    (folder / "members.json").write_text(json.dumps(content))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any], split: str = "test") -> None:
    tensors = load_file(folder / f"{split}.safetensors")
    change(tensors)
    save_file({name: value.clone() for name, value in tensors.items()}, folder / f"{split}.safetensors")


def of_json(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder, change)


def of_tensors(change: Callable[[dict[str, torch.Tensor]], Any], split: str = "test") -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder, change, split)


MALFORMED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no members.json": (lambda folder: (folder / "members.json").unlink(), "nor a folder of logits"),
    "not JSON": (lambda folder: (folder / "members.json").write_text("{"), "members.json is not JSON"),
    "another format": (of_json(lambda d: d.update(format=2)), 'expected an object with "format": 1'),
    "no num_classes": (of_json(lambda d: d.pop("num_classes")), "'num_classes' is missing or no int"),
    "counts of other classes": (of_json(lambda d: d["train_counts"].pop()), "train_counts must be 5 integers"),
    "counts in words": (of_json(lambda d: d.update(train_counts=list("abcde"))), "train_counts must be 5 integers"),
    "no members": (of_json(lambda d: d.update(members=[])), "nothing to fuse"),
    "a member that is a name": (
        of_json(lambda d: d.update(members=["full"])),
        "a member must be an object, got 'full'",
    ),
    "a member without classes": (
        of_json(lambda d: d["members"][0].pop("classes")),
        "member 'full': 'classes' is missing",
    ),
    "classes that are no ids": (
        of_json(lambda d: d["members"][1].update(classes=[0.5, 1])),
        "'head': classes must be a list of",
    ),
    "unsorted classes": (
        of_json(lambda d: d["members"][1].update(classes=[1, 0])),
        "'head': class ids must be ascending",
    ),
    "a class too many": (of_json(lambda d: d["members"][1].update(classes=[0, 9])), "class id 9 with only 5 classes"),
    "classes of another width": (
        of_json(lambda d: d["members"][1].update(classes=[0])),
        "'head': logits have shape (25, 3), expected",
    ),
    "an unknown outside": (of_json(lambda d: d["members"][1].update(outside="maybe")), "outside is 'maybe'"),
    "one name twice": (of_json(lambda d: d["members"].append(d["members"][0])), "member names must be distinct"),
    "partial, but says none": (
        of_json(lambda d: d["members"][1].update(outside="none", classes=[0, 1, 2])),
        "but says outside='none'",
    ),
    "an uncovered class": (
        of_json(lambda d: d.update(members=d["members"][1:2])),
        "no member covers class 2 and 2 more",
    ),
    "no val file": (lambda folder: (folder / "val.safetensors").unlink(), "val.safetensors is missing"),
    "a damaged file": (
        lambda folder: (folder / "val.safetensors").write_bytes(b"nonsense"),
        "val.safetensors is damaged",
    ),
    "no such tensor": (of_tensors(lambda t: t.pop("tail")), "test.safetensors has no tensor 'tail'"),
    "no labels": (of_tensors(lambda t: t.pop("labels")), "test.safetensors has no tensor 'labels'"),
    "fewer labels": (of_tensors(lambda t: t.update(labels=t["labels"][:-1])), "49 labels for 50 samples"),
    "fewer indices": (of_tensors(lambda t: t.update(indices=t["indices"][:-1])), "49 indices for 50 labels"),
    "labels of another class": (of_tensors(lambda t: t["labels"].fill_(5)), "labels must lie in 0..4"),
    "labels that are no ids": (of_tensors(lambda t: t.update(labels=t["labels"] / 2)), "'labels' must be integers [N]"),
    "labels in a column": (
        of_tensors(lambda t: t.update(labels=t["labels"][:, None])),
        "'labels' must be integers [N]",
    ),
    "fewer logits": (of_tensors(lambda t: t.update(tail=t["tail"][:-1])), "member 'tail' has 49 samples"),
    "NaN": (
        of_tensors(lambda t: t["tail"].fill_(float("nan")), "val"),
        "val.safetensors: member 'tail': logits hold NaN",
    ),
    "classes beyond counting": (
        of_json(lambda d: d["members"][1].update(classes=[0, 10**30])),
        "'head': classes must be a list of",
    ),
    "counts beyond counting": (
        of_json(lambda d: d.update(train_counts=[10**30] * 5)),
        "train_counts must be 5 integers",
    ),
    "a truth value for a number": (of_json(lambda d: d.update(num_classes=True)), "'num_classes' is missing or no int"),
    "no test sample": (
        of_tensors(lambda t: t.update({name: value[:0] for name, value in t.items()})),
        "test.safetensors holds no sample",
    ),
    "no validation sample": (
        of_tensors(lambda t: t.update({name: value[:0] for name, value in t.items()}), "val"),
        "the validation split holds no sample to fit a fuser on",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_folder_is_one_line_and_4(ltb, folder: Path, case: str) -> None:
    spoil, message = MALFORMED[case]
    spoil(folder)
    done = ltb("fuse", folder, "--fuser", "soft")
    assert message in done.complaint
    assert done.code == 4
    assert not done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fuser", "soff"), "unknown fuser 'soff'. Did you mean 'soft'?"),
        (
            ("--fuser", "joint", "--set", "joint.l3=1"),
            "l3 = 1 (from get_fuser('joint')): no such key. Did you mean 'l2'?",
        ),
        (("--fuser", "soft", "--set", "joint.l2=1"), "only settings of the chosen fusers (soft) can be set here"),
        (("--fuser", "soft", "--folds", "papers"), "paper"),
        (("--fuser", "soft", "--results", "somewhere"), "--results keeps records of runs"),
        ((), "--fuser"),
    ],
)
def test_a_wrong_request_is_2(ltb, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = ltb("fuse", folder, *arguments)
    assert message in done.complaint
    assert done.code == 2


@pytest.fixture
def run(ltb: Callable[..., Outcome]) -> str:
    """A run's name. In the cache that all tests share; trained by whoever needs it first."""
    done = ltb("run", "-m", "experts", "-f", "soft", *TINY_EXPERTS, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["run"]


def test_a_run_is_fused_without_training(ltb, run: str, shared_cache: Path, own_cache: Path) -> None:
    stages = json.loads((shared_cache / "runs" / run / "run.json").read_text())["stages"]
    for folder in (f"runs/{run}", *(f"stages/{name}" for name in stages.values())):
        shutil.copytree(shared_cache / folder, own_cache / folder)  # other tests train in the cache they share
    before = {path: path.stat().st_mtime_ns for path in own_cache.glob("stages/*/**/*")}
    done = ltb("fuse", run, "--fuser", "kl", "--fuser", "joint", "--set", "joint.l2=0.01", "--json")
    assert done.code == 0, done.err
    assert "trained" not in done.err
    assert {path: path.stat().st_mtime_ns for path in own_cache.glob("stages/*/**/*")} == before
    assert {path.name for path in own_cache.glob("stages/[!.]*")} == set(stages.values())
    answer = json.loads(done.out)
    fused = [(tuple(record["methods"]), record["fuser"]) for record in answer["records"]]
    assert fused == [(("baseline",), "none"), (("baseline",), "joint"), (("experts",), "kl"), (("experts",), "joint")]
    assert answer["config"]["settings"]["joint"]["l2"] == 0.01

    again = ltb("run", "-m", "experts", "-f", "kl", *TINY_EXPERTS, "--json")
    (expected,) = [record for record in json.loads(again.out)["records"] if record["fuser"] == "kl"]
    assert next(r for r in answer["records"] if r["fuser"] == "kl")["correct_bits"] == expected["correct_bits"]


def test_a_run_s_logits_are_a_folder_like_any_other(ltb, run: str, shared_cache: Path) -> None:
    stages = json.loads((shared_cache / "runs" / run / "run.json").read_text())["stages"]
    done = ltb("fuse", shared_cache / "stages" / stages["experts"] / "logits", "--fuser", "soft", "--json")
    assert done.code == 0, done.err
    accuracy = json.loads(done.out)["fusers"]["soft"]["accuracy"]
    by_run = json.loads(ltb("fuse", run, "--fuser", "soft", "--json").out)["records"][-1]["metrics"]["paper"]
    assert accuracy == pytest.approx(by_run, abs=1e-4)  # records round to 4 digits


def test_a_run_is_found_by_its_folder_and_the_beginning_of_its_name(ltb, run: str, shared_cache: Path) -> None:
    for source in (shared_cache / "runs" / run, run[:-2]):
        done = ltb("fuse", source, "--fuser", "soft", "--json")
        assert json.loads(done.out)["run"] == run


def test_an_unknown_run_gets_a_suggestion(ltb, run: str) -> None:
    done = ltb("fuse", run.replace("experts", "expert"), "--fuser", "soft")
    assert done.code == 4
    assert "is neither a run in" in done.complaint
    assert "Did you mean 'glyphs-lt-experts-s0-" in done.complaint


def test_a_run_whose_stages_are_gone_says_so(ltb, own_cache: Path) -> None:
    done = ltb("run", "-m", "baseline", "-f", "soft", *TINY, "--json")
    name = json.loads(done.out)["run"]
    (stage,) = own_cache.glob("stages/baseline-*")
    stage.rename(stage.with_name("elsewhere"))
    done = ltb("fuse", name, "--fuser", "kl")
    assert done.code == 4
    assert "the stage of 'baseline' is no longer in the cache" in done.complaint
