"""What stands beside a run on the command line: the baseline, each method alone; what it costs, and how to leave it out."""

import json
from pathlib import Path
from typing import Any

from tiny import BASELINE, DATA, TINY, TINY_EXPERTS, settings

UNIFORM = settings(uniform={"optim": {"epochs": 1, "batch_size": 64}, "views": 1})
SOFTMAX = settings(**{"balanced-softmax": BASELINE})


def rows(answer: dict[str, Any]) -> list[tuple[list[str], str, str]]:
    return [(record["methods"], record["fuser"], record["role"]) for record in answer["records"]]


def run(ltb, *arguments: object) -> dict[str, Any]:
    done = ltb("run", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_the_table_of_an_ensemble_shows_each_of_its_full_methods_alone(ltb, tmp_path: Path) -> None:
    asked = ("-m", "baseline", "-m", "uniform", "-m", "experts", "-f", "soft", *TINY_EXPERTS, *UNIFORM)
    answer = run(ltb, *asked, "--results", tmp_path)
    assert rows(answer) == [
        (["baseline"], "none", "reference"),
        (["baseline"], "joint", "control"),
        (["uniform"], "none", "run"),
        (["baseline", "uniform", "experts"], "soft", "run"),
    ]
    shown = ltb("run", *asked).out
    (alone,) = [line for line in shown.splitlines() if line.startswith("│ uniform ")]
    all_percent = f"{answer['records'][2]['metrics']['paper']['all']:.1f}"
    assert all_percent in alone
    assert "alone" in alone
    assert "│ experts " not in shown
    own = run(ltb, "-m", "uniform", *TINY, *UNIFORM)
    assert own["records"][-1] == answer["records"][2], "the very record that a run of the method alone leaves"
    assert ltb("verify", "--strict", tmp_path).code == 0


def test_the_baseline_stands_beside_a_method_that_does_not_start_from_it(ltb, tmp_path: Path) -> None:
    answer = run(ltb, "-m", "balanced-softmax", *DATA, *SOFTMAX, "--results", tmp_path)
    assert rows(answer) == [
        (["baseline"], "none", "reference"),
        (["baseline"], "joint", "control"),
        (["balanced-softmax"], "none", "run"),
    ]
    assert [(stage["method"], stage["compared"]) for stage in answer["stages"]] == [
        ("balanced-softmax", False),
        ("baseline", True),
    ]
    tracks = [record["track"] for record in answer["records"]]
    assert tracks == [tracks[0]] * 3, "ranked together"
    assert "balanced-softmax" not in answer["records"][0]["config"]["settings"]
    assert answer["records"][:2] == run(ltb, "-m", "baseline", *TINY)["records"], "the baseline's own, trained once"
    assert ltb("verify", "--strict", tmp_path).code == 0
    again = ltb("fuse", answer["run"], "-f", "soft")
    assert again.code == 0, again.err
    assert "baseline / joint" in again.out


def test_what_stands_beside_is_announced_with_its_cost_and_can_be_left_out(ltb, own_cache: Path) -> None:
    asked = ("run", "-m", "balanced-softmax", *DATA, *SOFTMAX)
    plan = ltb(*asked, "--dry-run").out
    line = "baseline stands beside for comparison alone and would be trained for 2 epochs; --no-controls leaves it out"
    assert line in plan
    assert "evaluate baseline / joint" in plan
    alone = ltb(*asked, "--no-controls", "--dry-run").out
    assert "baseline stands beside" not in alone
    assert "baseline / joint" not in alone
    done = ltb(*asked)
    assert done.err.splitlines()[1] == "baseline is trained for comparison alone; --no-controls leaves it out"
    assert "costs no training; --no-controls leaves it out" in ltb(*asked, "--dry-run").out
    answer = run(ltb, *asked[1:], "--no-controls")
    assert rows(answer) == [(["balanced-softmax"], "none", "run")]
    assert [stage["cached"] for stage in answer["stages"]] == [True], "beside or not, it is the same stage"
    ends = [line.split()[-3:] for line in ltb("list", "runs").out.splitlines()]
    accuracy = f"{answer['records'][0]['metrics']['paper']['all']:.1f}"
    assert ends.count(["none", "0", accuracy]) == 2


def test_controls_off_leaves_out_those_of_a_spec_and_each_method_alone(ltb) -> None:
    asked = ("-m", "baseline", "-m", "uniform", "-f", "soft", *TINY, *UNIFORM, "--no-controls")
    assert rows(run(ltb, *asked)) == [(["baseline", "uniform"], "soft", "run")]
