"""Edits of a record that a real run left: which are noticed by the record alone, which by its logits, which by nothing."""

import copy
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY_EXPERTS, Outcome

from ltbench.classes import classes_of
from ltbench.cli import invoke
from ltbench.engine.evaluation.evaluate import Measured, make_fuser
from ltbench.engine.recording import measured_fields
from ltbench.fuser import MemberLogits
from ltbench.results.logits import LogitsFolder, SplitLogits, joined, read_logits, write_logits
from ltbench.results.record import config_hash
from ltbench.results.store import load, save
from ltbench.verification.verification import Verdict, verify

from .edits import ALONE, LOGITS, ODD, UNSEEN, edited, other_digit, perfect, places, setting
from .records import LABELS, TRAIN_COUNTS, baseline


@pytest.fixture(scope="session")
def run_records(shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of one run of the experts, whose stages are in the shared cache."""
    folder = tmp_path_factory.mktemp("run") / "results"
    arguments = ["run", "--method", "experts", "--fuser", "joint", "--results", str(folder), "--json", *TINY_EXPERTS]
    assert invoke(arguments) == 0
    return folder / "glyphs-lt"


@pytest.fixture
def made(run_records: Path, tmp_path: Path) -> Path:
    """A copy of the record of experts / joint."""
    (path,) = run_records.glob("experts--joint--*.json")
    return Path(shutil.copy(path, tmp_path))


def logits_of(path: Path, cache: Path) -> LogitsFolder:
    """The logits of a record's methods, from the cache."""
    content = json.loads(path.read_text())
    keys = {stage["method"]: stage["key"] for stage in content["stages"]}
    return joined([read_logits(cache / f"stages/{name}-{keys[name][:20]}/logits") for name in content["methods"]])


def complaint(verdict: Verdict) -> str:
    return "; ".join(finding.text for finding in verdict.findings if finding.state == "failed")


def test_what_a_run_leaves_is_recomputed_where_its_stages_are_and_consistent_elsewhere(
    run_records: Path, shared_cache: Path, tmp_path: Path
) -> None:
    paths = sorted(run_records.glob("*--*.json"))
    assert len(paths) == 3
    for path in paths:
        assert verify(path, shared_cache).state == "recomputed", complaint(verify(path, shared_cache))
        elsewhere = verify(path, tmp_path)
        assert elsewhere.state == "consistent"
        assert "is not in the cache" in elsewhere.findings[-1].text


def test_there_are_enough_edits() -> None:
    assert len(ALONE) + len(LOGITS) >= 90
    assert len(UNSEEN) == 16


@pytest.mark.parametrize("name", ALONE)
def test_an_edit_that_the_record_itself_contradicts(made: Path, tmp_path: Path, name: str) -> None:
    verdict = verify(edited(made, ALONE[name]), tmp_path / "no-cache")
    assert verdict.state == "failed"
    assert complaint(verdict)


@pytest.mark.parametrize("name", LOGITS)
def test_an_edit_that_the_logits_contradict(made: Path, tmp_path: Path, shared_cache: Path, name: str) -> None:
    path = edited(made, LOGITS[name])
    assert verify(path, tmp_path / "no-cache").state == "consistent", complaint(verify(path, tmp_path / "no-cache"))
    assert verify(path, shared_cache).state == "failed"


@pytest.mark.parametrize("name", UNSEEN)
def test_an_edit_that_no_check_can_see(made: Path, shared_cache: Path, name: str) -> None:
    verdict = verify(edited(made, UNSEEN[name]), shared_cache)
    assert verdict.state == "recomputed", complaint(verdict)


def test_whatever_stands_anywhere_is_one_line_and_no_accident(made: Path, tmp_path: Path) -> None:
    content = json.loads(made.read_text())
    spots = list(places(content))
    assert len(spots) > 200
    for number, place in enumerate(spots):
        for odd in (ODD[number % len(ODD)], ODD[(number * 5 + 3) % len(ODD)]):
            changed = copy.deepcopy(content)
            setting(*place, to=odd)(changed)
            if isinstance(changed["config"], dict):
                with suppress(ValueError):
                    changed["config_hash"] = config_hash(changed["config"])
            made.write_text(json.dumps(changed))
            verdict = verify(made, tmp_path / "no-cache")
            assert verdict.state in ("failed", "consistent")
            assert all("\n" not in finding.text for finding in verdict.findings), place
            assert load(made).found or verdict.state == "failed"


def test_a_stage_that_is_not_there_leaves_a_record_consistent(made: Path, shared_cache: Path) -> None:
    assert verify(edited(made, setting("stages", 1, "key", to=other_digit)), shared_cache).state == "consistent"


def test_what_no_check_can_see_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text()
    section = text.split("## What no check can see")[1].split("\n## ")[0]
    for name in UNSEEN:
        key = name.partition(",")[0].partition(" of ")[0]
        assert f"`{key.split('.')[-1]}`" in section, key


def test_a_folder_of_logits_in_another_order_serves_as_well(made: Path, shared_cache: Path, tmp_path: Path) -> None:
    content = logits_of(made, shared_cache)
    order = torch.randperm(len(content.test.labels), generator=torch.Generator().manual_seed(1))
    members = [member.take(order) for member in content.test.members]
    test = SplitLogits(members, content.test.labels[order], content.test.indices[order])
    shuffled = LogitsFolder(content.num_classes, content.train_counts, content.val, test, content.dataset)
    write_logits(tmp_path / "all" / made.stem, shuffled)
    for folder in (tmp_path / "all", tmp_path / "all" / made.stem):
        verdict = verify(made, tmp_path / "no-cache", folder)
        assert verdict.state == "recomputed", complaint(verdict)
    assert verify(edited(made, perfect), tmp_path / "no-cache", tmp_path / "all").state == "failed"


def test_logits_with_other_labels_fail(made: Path, shared_cache: Path, tmp_path: Path) -> None:
    content = logits_of(made, shared_cache)
    labels = content.test.labels.roll(1)
    test = SplitLogits(content.test.members, labels, content.test.indices)
    write_logits(tmp_path / "logits", LogitsFolder(content.num_classes, content.train_counts, content.val, test))
    verdict = verify(made, tmp_path / "no-cache", tmp_path / "logits")
    assert "the logits of test have sha256" in complaint(verdict)
    assert "bits are not what the logits give" in complaint(verdict)


def test_a_renamed_file_fails(made: Path, tmp_path: Path) -> None:
    verdict = verify(made.rename(made.with_name("best.json")), tmp_path / "no-cache")
    assert complaint(verdict) == f"the file should be called {made.name}"


def close_call(margin: float) -> LogitsFolder:
    """Logits of one full member for the labels of the hand-made records, right on every sample; of the first one only by
    ``margin`` in the probability."""
    splits = []
    for labels in (torch.arange(6).repeat(10), torch.as_tensor(LABELS)):
        logits = torch.zeros(len(labels), 6)
        logits[torch.arange(len(labels)), labels] = 3.0
        logits[0] = -20.0
        logits[0, labels[0]] = 2 * margin
        logits[0, (labels[0] + 1) % 6] = 0.0
        member = MemberLogits("baseline/all", "baseline", torch.arange(6), "none", logits)
        splits.append(SplitLogits([member], labels, torch.arange(len(labels))))
    return LogitsFolder(6, np.array(TRAIN_COUNTS), *splits)


@pytest.mark.parametrize(
    ("sample", "margin", "state"), [(0, 1e-5, "recomputed"), (0, 1e-3, "failed"), (1, 1e-5, "failed")]
)
def test_only_an_answer_that_hangs_on_rounding_may_differ(
    tmp_path: Path, sample: int, margin: float, state: str
) -> None:
    content = close_call(margin)
    fields = measured_fields(
        "reference", content, Measured(make_fuser("none", classes_of(TRAIN_COUNTS, "paper")), content)
    )
    assert fields["correct"].all()
    fields["correct"][sample] = False
    write_logits(tmp_path / "logits", content)
    path = save(baseline(**fields), tmp_path)
    assert verify(path, tmp_path / "no-cache", tmp_path / "logits").state == state


def test_states_in_exit_codes_and_json(
    ltb: Callable[..., Outcome], made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = ltb("verify", made)
    assert (done.code, done.out.splitlines()) == (0, [f"recomputed  {made}", "1 recomputed"])
    assert "recomputed from the cache" in ltb("verify", made, "-v").out
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "another-cache"))
    assert json.loads(ltb("verify", made, "--json").out)[str(made)]["state"] == "consistent"
    strict = ltb("verify", made, "--strict")
    assert strict.code == 1
    assert f"1 of 1 records were not recomputed, the first is {made}." in strict.err
    forged = edited(made, setting("track", "epochs", to=1))
    failed = ltb("verify", forged)
    assert failed.code == 1
    assert failed.complaint == f"1 of 1 records failed, the first is {forged}."
    assert "    failed   track.epochs is 1, the settings give 2" in failed.out.splitlines()


def test_one_folder_of_logits_is_for_one_record(
    ltb: Callable[..., Outcome], run_records: Path, made: Path, shared_cache: Path, tmp_path: Path
) -> None:
    write_logits(tmp_path / "logits", logits_of(made, shared_cache))
    assert ltb("verify", made, "--logits", tmp_path / "logits").out.startswith("recomputed")
    done = ltb("verify", run_records, "--logits", tmp_path / "logits")
    assert done.code == 2
    assert "holds the logits of one record" in done.complaint


def test_the_mark_on_the_leaderboard_goes_when_the_record_changes(
    ltb: Callable[..., Outcome], run_records: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    shutil.copytree(run_records, results / "glyphs-lt")
    (results / "glyphs-lt" / "verified.json").unlink()  # which the run has written
    assert "✓" not in ltb("leaderboard", "--results", results).out
    assert "(3 recomputed)" in ltb("verify", results, "--write").err
    assert ltb("leaderboard", "--results", results).out.count("✓") == 3
    assert ltb("leaderboard", "--results", results, "--write").code == 0
    page = (results / "glyphs-lt" / "LEADERBOARD.md").read_text()
    assert sum(line.rstrip(" |").endswith("✓") for line in page.splitlines()) == 3

    (path,) = (results / "glyphs-lt").glob("experts--joint--*.json")
    edited(path, setting("notes", to=["changed afterwards"]))
    assert ltb("leaderboard", "--results", results).out.count("✓") == 2
    assert ltb("leaderboard", "--results", results, "--check").code == 1

    edited(path, perfect)
    assert ltb("verify", results, "--write").code == 1
    rows = json.loads(ltb("leaderboard", "--results", results, "--json").out)["boards"][0]["rows"]
    assert [row["recomputed"] for row in rows if row["methods"] == ["experts"]] == [False]
    assert sum(row["recomputed"] for row in rows) == 2


def test_a_forged_record_has_no_place_in_the_ranking(
    ltb: Callable[..., Outcome], run_records: Path, tmp_path: Path
) -> None:
    """One that agrees with itself, with 100 %, beside honest ones that the run has marked."""
    results = tmp_path / "results"
    shutil.copytree(run_records, results / "glyphs-lt")
    honest = ltb("leaderboard", "--results", results, "--json")
    assert all(row["ranked"] for row in json.loads(honest.out)["boards"][0]["rows"])

    (path,) = (results / "glyphs-lt").glob("experts--joint--*.json")
    edited(path, perfect)
    done = ltb("leaderboard", "--results", results, "--json")
    rows = json.loads(done.out)["boards"][0]["rows"]
    assert [row["ranked"] for row in rows] == [True, True, False]
    assert rows[-1]["methods"] == ["experts"] and rows[-1]["accuracy"]["all"]["mean"] == 100.0
    lines = ltb("leaderboard", "--results", results).out.splitlines()
    (forged,) = [line for line in lines if "experts" in line]
    assert forged.split()[0] == "–"
    assert ltb("leaderboard", "--results", results, "--write").code == 0
    page = (results / "glyphs-lt" / "LEADERBOARD.md").read_text()
    assert "| – | experts | joint |" in page


def test_a_hand_made_mark_of_a_contradictory_record_is_worth_nothing(
    ltb: Callable[..., Outcome], run_records: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    shutil.copytree(run_records, results / "glyphs-lt")
    ltb("verify", results, "--write")
    (path,) = (results / "glyphs-lt").glob("experts--joint--*.json")
    edited(path, setting("track", "backbone", to="resnet50"))
    done = ltb("leaderboard", "--results", results, "--json")
    (board,) = json.loads(done.out)["boards"]
    assert [row["methods"] for row in board["rows"] if row["methods"] == ["experts"]] == []
    assert "1 record is left out, 'ltbench verify' names each: experts--joint--" in done.err
    (left_out,) = load(results).left_out
    assert "track.backbone is 'resnet50', the settings give 'resnet10" in left_out.reason
