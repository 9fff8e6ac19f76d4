"""Four plugins that look at more than one sample at a time, or at the test split, on the command line: each is refused by name.

They lie in tests/fixtures/cheating; declared as transductive, the first three run in a track of their own.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import BASELINE, DATA, TINY, Outcome, in_subprocess, settings

from ltbench.data import guard
from ltbench.engine import context as engine_context
from ltbench.engine import stage_logits
from ltbench.engine.evaluation import evaluate
from ltbench.fuser import MemberLogits
from ltbench.results.logits import LogitsFolder, SplitLogits, write_logits

CHEATING = Path(__file__).parents[1] / "fixtures" / "cheating"
FUSERS = {"row-numbers": "cheating_row_numbers", "neighbours": "cheating_neighbours"}
OPENERS = ("opens-by-name", "opens-by-class")

Ltb = Callable[..., Outcome]


def run_of(method: str) -> tuple[str, ...]:
    return ("run", "-m", method, *DATA, *settings(**{method: BASELINE}), "--no-controls")


def plugin(name: str) -> Path:
    return CHEATING / f"{name}.py"


def declared(tmp_path: Path, name: str) -> Path:
    """The plugin, which now says what it does."""
    text = plugin(name).read_text()
    honest = tmp_path / f"{name.replace('cheating', 'honest')}.py"
    honest.write_text(text.replace('target=f"{__name__}', 'transductive=True, target=f"{__name__}'))
    assert honest.read_text() != text
    return honest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Logits in class order of a classifier that is right for about half of the samples: 6 classes, 60 and 120 samples."""
    generator = torch.Generator().manual_seed(0)

    def split(each: int) -> SplitLogits:
        labels = torch.arange(6).repeat_interleave(each)
        logits = torch.randn(len(labels), 6, generator=generator)
        logits[torch.arange(len(labels)), labels] += 1.2
        member = MemberLogits("mine/all", "mine", torch.arange(6), "none", logits)
        return SplitLogits([member], labels, torch.arange(len(labels)))

    write_logits(tmp_path / "logits", LogitsFolder(6, np.full(6, 50), split(10), split(20)))
    return tmp_path / "logits"


@pytest.mark.parametrize("fuser", FUSERS)
def test_a_fuser_that_looks_at_other_rows_is_refused(ltb: Ltb, folder: Path, fuser: str) -> None:
    """By ``fuse`` of a folder, by ``run``, by ``fuse`` of that run, and by ``plugin test``."""
    path = plugin(FUSERS[fuser])
    refusal = f"fuser '{fuser}': the posterior of a sample depends on the other samples, on their order or on chance."
    done = ltb("--plugin", path, "fuse", folder, "-f", fuser)
    assert (done.code, done.out) == (3, "")
    assert done.complaint.startswith(refusal)
    assert "FuserSpec(transductive=True)" in done.complaint

    asked = ltb("--plugin", path, "run", "-m", "baseline", "-f", fuser, *TINY)
    assert asked.code == 3
    assert asked.err.splitlines()[-1].startswith(f"Error: {refusal}")

    alone = json.loads(ltb("run", "-m", "baseline", *TINY, "--json").out)
    again = ltb("--plugin", path, "fuse", alone["run"], "-f", fuser)
    assert again.code == 3
    assert again.err.splitlines()[-1].startswith(f"Error: {refusal}")

    tested = ltb("plugin", "test", path)
    assert tested.code == 3
    assert f"FAILED  fuser '{fuser}'" in tested.out
    assert "the posterior of a sample depends on the other samples or their order" in tested.out


@pytest.mark.parametrize("fuser", FUSERS)
def test_without_the_second_look_the_drawn_order_leaves_such_a_fuser_nothing(
    ltb: Ltb, folder: Path, fuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which the rows lie it is right for most; in the order that it gets, for as many as by chance."""
    monkeypatch.setattr(evaluate.SecondLook, "agrees", lambda self, log_posterior: True)

    def accuracy() -> float:
        done = ltb("--plugin", plugin(FUSERS[fuser]), "fuse", folder, "-f", fuser, "--json")
        return float(json.loads(done.out)["fusers"][fuser]["accuracy"]["all"])

    drawn = accuracy()
    monkeypatch.setattr(evaluate, "drawn_order", lambda fingerprint, name, samples: torch.arange(samples))
    assert accuracy() > 75
    assert drawn < 35


@pytest.mark.parametrize("fuser", FUSERS)
def test_verify_refuses_a_record_that_such_a_fuser_has_made(
    ltb: Ltb, own_cache: Path, tmp_path: Path, fuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a harness in which it was not asked again, with the logits at hand."""
    path, results = plugin(FUSERS[fuser]), tmp_path / "results"
    with monkeypatch.context() as patched:
        patched.setattr(evaluate.SecondLook, "agrees", lambda self, log_posterior: True)
        done = ltb("--plugin", path, "run", "-m", "baseline", "-f", fuser, *TINY, "--results", results)
        assert done.code == 0, done.err
    (record,) = (results / "glyphs-lt").glob(f"baseline--{fuser}--*.json")
    verified = ltb("--plugin", path, "verify", record)
    assert verified.code == 1
    assert "the posterior of a sample depends on the other samples" in verified.out


def test_a_head_that_looks_at_its_batch_is_refused_before_its_stage_is_published(ltb: Ltb, own_cache: Path) -> None:
    done = ltb("--plugin", plugin("cheating_batch_head"), *run_of("batch-head"))
    assert done.code == 3
    assert done.err.splitlines()[-1].startswith(
        "Error: method 'batch-head': the logits of member 'all' for a val sample depend on the other samples of its batch"
    )
    assert "MethodSpec(transductive=True)" in done.err
    assert not list(own_cache.glob("stages/batch-head-*/stage.json"))


def test_logits_are_looked_at_again_before_they_are_stored(
    ltb: Ltb, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of test, too: here a method is taken whose members were not looked at when they were trained."""
    looked: list[str] = []

    def check(method: str, members: object, few: object, logits: object = None) -> None:
        looked.append(f"{method} {few.name}")  # type: ignore[attr-defined]
        real(method, members, few, logits)  # type: ignore[arg-type]

    real = stage_logits.check_members
    monkeypatch.setattr(engine_context, "check_members", lambda *_: None)
    monkeypatch.setattr(stage_logits, "check_members", check)
    done = ltb("--plugin", plugin("cheating_batch_head"), *run_of("batch-head"))
    assert done.code == 3
    assert "for a val sample depend on the other samples" in done.err
    (stage,) = own_cache.glob("stages/batch-head-*")
    assert not (stage / "logits").exists()

    looked.clear()
    assert ltb("run", "-m", "baseline", *TINY).code == 0
    assert looked == ["baseline val", "baseline test"]


def test_plugin_test_finds_a_head_that_looks_at_its_batch(ltb: Ltb) -> None:
    done = ltb("plugin", "test", plugin("cheating_batch_head"))
    assert done.code == 3
    assert "FAILED  method 'batch-head': method 'batch-head': the logits of member 'all' for a val sample" in done.out


@pytest.mark.parametrize("method", OPENERS)
def test_a_method_that_opens_the_test_split_is_refused(ltb: Ltb, own_cache: Path, method: str) -> None:
    done = ltb("--plugin", plugin("cheating_test_split"), *run_of(method))
    assert done.code == 3
    assert done.err.splitlines()[-1].startswith(
        f"Error: the test split of 'glyphs-lt' was opened while method '{method}' is trained: that split is the engine's alone."
    )
    assert not list(own_cache.glob(f"stages/{method}-*/stage.json"))


def test_plugin_test_finds_methods_that_open_the_test_split(ltb: Ltb) -> None:
    done = ltb("plugin", "test", plugin("cheating_test_split"))
    assert done.code == 3
    for line, method in zip(done.out.splitlines()[1:], OPENERS, strict=True):
        assert line.startswith(
            f"FAILED  method '{method}': the test split of 'glyphs-lt' was opened while method '{method}' is trained"
        )


def test_such_a_method_would_learn_the_test_split(ltb: Ltb, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused above is a way to a better number."""
    monkeypatch.setattr(guard, "_closed_while", _Blind())

    def accuracy(method: str) -> float:
        done = ltb("--plugin", plugin("cheating_test_split"), *run_of(method), "--json")
        return float(json.loads(done.out)["records"][-1]["metrics"]["paper"]["all"])

    assert accuracy("opens-by-name") > accuracy("baseline") + 20


class _Blind(list[str]):
    """Notes everything and says that there is nothing."""

    def __bool__(self) -> bool:
        return False


def test_declared_fusers_run_in_a_track_of_their_own(ltb: Ltb, tmp_path: Path) -> None:
    path, results = declared(tmp_path, "cheating_neighbours"), tmp_path / "results"
    done = ltb(
        "--plugin",
        path,
        "run",
        "-m",
        "baseline",
        "-f",
        "neighbours",
        "-f",
        "joint",
        *TINY,
        "--json",
        "--results",
        results,
    )
    assert done.code == 0, done.err
    tracks = {record["fuser"]: record["track"]["transductive"] for record in json.loads(done.out)["records"]}
    assert tracks == {"none": False, "joint": False, "neighbours": True}

    board = ltb("leaderboard", "--results", results)
    assert " ".join(board.out.split()).count("px, transductive") == 1
    assert ltb("--plugin", path, "leaderboard", "--results", results, "--write").code == 0
    sections = (results / "glyphs-lt" / "LEADERBOARD.md").read_text().split("\n## ")[1:]
    boards = [(part.splitlines()[0], part) for part in sections if "Protocol: " in part]
    assert [(", transductive" in heading, "neighbours" in part) for heading, part in boards] == [
        (False, False),
        (True, True),
    ]

    shown = ltb("--plugin", path, "show", "neighbours")
    assert "transductive may look at other samples: ranked in a track of its own" in shown.out
    assert ltb("plugin", "test", path).code == 0


def test_a_declared_method_runs_and_cannot_take_the_word_back(ltb: Ltb, own_cache: Path, tmp_path: Path) -> None:
    """Its logits were stored without the second look; without the declaration they are another stage's."""
    honest = declared(tmp_path, "cheating_batch_head")
    done = ltb("--plugin", honest, *run_of("batch-head"), "--json")
    assert done.code == 0, done.err
    assert [record["track"]["transductive"] for record in json.loads(done.out)["records"]] == [True]
    assert ltb("plugin", "test", honest).code == 0

    honest.write_text(honest.read_text().replace("transductive=True, ", ""))
    del sys.modules[honest.stem]
    assert ltb("--plugin", honest, *run_of("batch-head")).code == 3


def test_they_are_refused_in_processes_of_their_own(tmp_path: Path, shared_cache: Path, folder: Path) -> None:
    cache = tmp_path / "cache"
    refused = [
        (["fuse", folder, "-f", "row-numbers"], "cheating_row_numbers", "fuser 'row-numbers'"),
        (run_of("batch-head"), "cheating_batch_head", "method 'batch-head'"),
        (run_of("opens-by-class"), "cheating_test_split", "method 'opens-by-class' is trained"),
    ]
    for arguments, name, blamed in refused:
        done = in_subprocess(["--plugin", plugin(name), *arguments], cache)
        assert (done.code, done.out) == (3, "")
        assert blamed in done.err.splitlines()[-1]
    shutil.rmtree(cache)
