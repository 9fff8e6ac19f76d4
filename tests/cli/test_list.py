"""``ltbench list``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from manager.modules import having, registering

from ltbench.cli import invoke
from ltbench.common.sealed import write_json
from ltbench.plugin import MethodSpec
from ltbench.results.runs import run_of

pytestmark = pytest.mark.usefixtures("having_also")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def say(*arguments: str) -> str:
        assert invoke(["list", *arguments]) == 0
        return capsys.readouterr().out

    return say


def make_run(cache: Path, name: str, **content: Any) -> None:
    write_json(cache / "runs" / name / "run.json", content, run_of(name))


def test_methods_come_with_summary_paper_and_provider(say: Callable[..., str]) -> None:
    (line,) = [line for line in say("methods").splitlines() if line.split()[:1] == ["baseline"]]
    assert "One classifier over all classes" in line
    assert "Sec. 3.1" in line
    assert "ltbench 1.0" in line


def test_json_holds_what_the_plugin_registered(say: Callable[..., str]) -> None:
    (experts,) = [entry for entry in json.loads(say("methods", "--json")) if entry["name"] == "experts"]
    assert experts["requires"] == ["baseline"]
    assert experts["target"] == "ltbench_methods.experts:Experts"
    assert experts["provider"] == {"plugin": "methods", "distribution": "ltbench", "version": "1.0"}
    assert "joint" in {entry["name"] for entry in json.loads(say("fusers", "--json"))}
    assert "glyphs-lt" in {entry["name"] for entry in json.loads(say("datasets", "--json"))}


def test_clashing_names_are_listed_as_they_must_be_typed(
    having_also: Callable[..., None], say: Callable[..., str]
) -> None:
    having_also(registering(MethodSpec("baseline", target="a:A", summary="Theirs."), distribution="theirs"))
    first_words = {line.split()[0] for line in say("methods").splitlines() if line.strip()}
    assert {"ltbench:baseline", "theirs:baseline"} <= first_words
    assert "baseline" not in first_words


def test_plugins_come_with_their_status(having_also: Callable[..., None], say: Callable[..., str]) -> None:
    having_also(having("empty", "theirs"))
    (line,) = [line for line in say("plugins").splitlines() if "theirs" in line]
    assert line.split()[:5] == ["empty", "theirs", "1.0", "theirs.empty", "broken"]
    records = {record["name"]: record for record in json.loads(say("plugins", "--json"))}
    assert records["methods"]["status"] == "ok"
    assert "implements no hook" in records["empty"]["error"]


def test_without_runs_it_says_how_to_make_one(say: Callable[..., str], tmp_path: Path) -> None:
    assert say("runs").startswith(f"no run yet in {tmp_path / 'cache' / 'runs'}.")
    assert json.loads(say("runs", "--json")) == []


def test_runs_come_newest_first_with_their_accuracy(say: Callable[..., str], tmp_path: Path) -> None:
    whole = {
        "created": "2026-01-02T10:11:12+00:00",
        "dataset": "glyphs-lt",
        "methods": ["experts", "uniform"],
        "fusers": ["joint", "kl"],
        "seed": 3,
        "all": {"experts+uniform / joint": 51.94, "experts+uniform / kl": 47.0, "baseline": 40.0},
    }
    alone = {
        "created": "2026-01-03T10:11:12+00:00",
        "methods": ["baseline"],
        "fusers": ["none"],
        "all": {"baseline": 40.0},
    }
    make_run(tmp_path / "cache", "together", **whole)
    make_run(tmp_path / "cache", "alone", **alone)
    unfused = {**alone, "created": "2026-01-01T10:11:12+00:00", "fusers": []}
    make_run(tmp_path / "cache", "unfused", **unfused)
    make_run(tmp_path / "cache", "bare")
    rows = [line.split("  ") for line in say("runs").splitlines() if line.startswith(" ")]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[-5:-1] == [
        ["alone", "2026-01-03 10:11", "baseline", "none", "40.0"],
        ["together", "2026-01-02 10:11", "glyphs-lt", "experts+uniform", "joint, kl", "3", "51.9, 47.0"],
        ["unfused", "2026-01-01 10:11", "baseline", "none", "40.0"],
        ["bare"],
    ]
    assert [run["name"] for run in json.loads(say("runs", "--json"))] == [
        "alone",
        "together",
        "unfused",
        "bare",
    ]


def test_an_unreadable_run_is_named_and_passed_over(
    say: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "cache", "fine")
    make_run(tmp_path / "cache", "spoilt")
    (tmp_path / "cache" / "runs" / "spoilt" / "run.json").write_text("{")
    assert invoke(["list", "runs", "--json"]) == 0
    printed = capsys.readouterr()
    assert [run["name"] for run in json.loads(printed.out)] == ["fine"]
    assert str(tmp_path / "cache" / "runs" / "spoilt" / "run.json") in printed.err
