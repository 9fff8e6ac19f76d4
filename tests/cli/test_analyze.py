"""``ltbench analyze``: what it says of a run, and what it leaves."""

import json
from pathlib import Path

import pytest
from tiny import TINY, TINY_EXPERTS, settings

UNIFORM = settings(uniform={"optim": {"epochs": 1, "batch_size": 64}, "views": 1})


def run(ltb, *arguments: str) -> dict:
    done = ltb("run", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def analyze(ltb, *arguments: object) -> dict:
    done = ltb("analyze", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_experts(ltb, tmp_path: Path) -> None:
    made = run(ltb, "-m", "experts", "-f", "soft", *TINY_EXPERTS)
    answer = analyze(ltb, made["run"], "--out", tmp_path)
    found = answer["experts"]["experts"]
    told = next(record["analyses"]["oracle"] for record in made["records"] if "oracle" in record["analyses"])
    assert found["oracle"]["accuracy"] == pytest.approx(told["accuracy"]["paper"], abs=1e-3)
    assert found["expert_confusion"]["experts"] == ["experts/many", "experts/medium", "experts/few"]
    for row in found["expert_confusion"]["percent"]:
        assert sum(row) == pytest.approx(100)
    assert json.loads((tmp_path / "analysis.json").read_text()) == answer
    for name in ("class_counts", "expert_confusion"):
        assert {path.suffix for path in tmp_path.glob(f"{name}.*")} == {".png", ".pdf", ".json", ".csv"}
    text = ltb("analyze", made["run"], "--out", tmp_path).out
    assert "an upper bound" in text
    assert "1 / 4 / 4 many / medium / few" in text


def test_several_methods_are_left_out_one_by_one(ltb, tmp_path: Path) -> None:
    made = run(ltb, "-m", "baseline", "-m", "uniform", "-f", "soft", *TINY, *UNIFORM)
    answer = analyze(ltb, made["run"], "--out", tmp_path)
    alone, without = answer["leave_one_out"]["alone"], answer["leave_one_out"]["without"]
    assert without == {"baseline": alone["uniform"], "uniform": alone["baseline"]}
    own = next(record for record in made["records"] if record["fuser"] == "none" and record["methods"] == ["baseline"])
    assert alone["baseline"] == pytest.approx(own["metrics"]["paper"], abs=1e-3)
    assert (tmp_path / "leave_one_out.png").is_file()
    assert answer["experts"] == {}


def test_by_default_it_is_written_beside_the_run_by_the_run_s_first_fuser(ltb) -> None:
    made = run(ltb, "-m", "experts", "-f", "soft", *TINY_EXPERTS)
    assert analyze(ltb, made["run"])["fuser"] == "soft"
    assert (Path(made["folder"]) / "analysis" / "analysis.json").is_file()
    assert analyze(ltb, made["run"], "--fuser", "kl")["fuser"] == "kl"


def test_an_unknown_run_or_fuser_is_one_line(ltb) -> None:
    made = run(ltb, "-m", "baseline", *TINY)
    assert ltb("analyze", "no-such-run").code == 4
    done = ltb("analyze", made["run"], "--fuser", "sofd")
    assert done.code == 2
    assert "Did you mean 'soft'?" in done.complaint
