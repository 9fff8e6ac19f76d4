"""What a dry run says of a stage that would be trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, Outcome

from ltbench.engine.reasons import reason
from ltbench.results.stage import Stage

INPUTS = {
    "method": "experts",
    "seed": 0,
    "dataset": {"name": "birds", "fingerprint": "a" * 64},
    "config": {"optim": {"lr": 0.1, "epochs": 10}, "reject_ratio": None},
    "code": {"ltbench.training.optim": "11", "ltbench.engine.fitting.loop": "22", "ltbench_methods.experts": "33"},
    "requires": {"baseline": "b" * 64},
}


def changed(**changes: Any) -> dict[str, Any]:
    """INPUTS with other values at dotted places, two underscores for a dot."""
    found = json.loads(json.dumps(INPUTS))
    for place, value in changes.items():
        *above, last = place.split("__")
        section = found
        for part in above:
            section = section[part]
        section[last] = value
    return found


@pytest.fixture
def cache(tmp_path: Path) -> Callable[..., None]:
    """Puts a stage into the cache: ``cache("experts-0123", inputs)``."""

    def add(name: str, inputs: Any, created: str = "2026-11-24T10:00:00+00:00") -> None:
        folder = tmp_path / "stages" / name
        folder.mkdir(parents=True)
        (folder / "stage.json").write_text(json.dumps({"created": created, "inputs": inputs}))

    return add


def why(tmp_path: Path, inputs: Any = INPUTS) -> str:
    return str(reason(Stage("experts", "f" * 64, inputs, tmp_path / "stages" / "experts-ffff")))


def test_there_is_none(tmp_path: Path, cache: Callable[..., None]) -> None:
    assert why(tmp_path) == "no stage of this method in the cache"
    cache("experts-more-0123", INPUTS)
    cache("baseline-0123", INPUTS)
    cache("experts-0123.partial", INPUTS)
    cache("experts-0123.damaged", INPUTS)
    assert why(tmp_path) == "no stage of this method in the cache"


DIFFERENCES = {
    "experts.optim.lr 0.2 -> 0.1": {"config__optim__lr": 0.2},
    "experts.reject_ratio 8 -> null": {"config__reject_ratio": 8},
    "seed 1 -> 0": {"seed": 1},
    "dataset.fingerprint cccccccc -> aaaaaaaa": {"dataset__fingerprint": "c" * 64},
    "ltbench.training.optim changed": {"code__ltbench.training.optim": "12"},
    "another stage of baseline": {"requires__baseline": "c" * 64},
    "my_helper counts no more": {"code__my_helper": "44"},
    "experts.optim.lr 0.2 -> 0.1, ltbench.training.optim changed": {
        "code__ltbench.training.optim": "12",
        "config__optim__lr": 0.2,
    },
    "experts.optim.epochs 5 -> 10, experts.optim.lr 0.2 -> 0.1, seed 3 -> 0, and 1 more": {
        "config__optim__epochs": 5,
        "config__optim__lr": 0.2,
        "seed": 3,
        "code__ltbench.training.optim": "12",
    },
}


@pytest.mark.parametrize("text", DIFFERENCES)
def test_what_differs_is_named(text: str, tmp_path: Path, cache: Callable[..., None]) -> None:
    cache("experts-0123", changed(**DIFFERENCES[text]))
    assert why(tmp_path) == f"{text} since experts-0123 of 2026-11-24"


def test_what_is_new_is_named(tmp_path: Path, cache: Callable[..., None]) -> None:
    cache("experts-0123", INPUTS)
    assert why(tmp_path, changed(code__my_helper="44")) == "my_helper counts now since experts-0123 of 2026-11-24"
    assert why(tmp_path, changed(transductive=True)) == "transductive null -> true since experts-0123 of 2026-11-24"


def test_a_stage_that_is_there_but_not_whole(tmp_path: Path, cache: Callable[..., None]) -> None:
    cache("experts-ffff", INPUTS)
    assert why(tmp_path) == "its files, in experts-ffff, are not those of a whole stage"


def test_it_is_compared_with_the_closest_and_of_those_the_newest(tmp_path: Path, cache: Callable[..., None]) -> None:
    cache("experts-01", changed(seed=1, config__optim__lr=0.2), created="2026-11-24T12:00:00+00:00")
    cache("experts-02", changed(seed=2), created="2026-11-22T12:00:00+00:00")
    cache("experts-03", changed(seed=3), created="2026-11-23T12:00:00+00:00")
    assert why(tmp_path) == "seed 3 -> 0 since experts-03 of 2026-11-23"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": 1, "created": "2026"}', '{"inputs": {}}', "null"])
def test_a_damaged_stage_is_not_compared_with(text: str, tmp_path: Path, cache: Callable[..., None]) -> None:
    cache("experts-01", changed(seed=1))
    cache("experts-02", {})
    (tmp_path / "stages" / "experts-02" / "stage.json").write_text(text)
    assert why(tmp_path) == "seed 1 -> 0 since experts-01 of 2026-11-24"


def test_the_plan_says_it(ltb: Callable[..., Outcome], own_cache: Path) -> None:
    def plan(*arguments: str) -> str:
        done = ltb("run", "--method", "baseline", *TINY, *arguments, "--dry-run")
        assert done.code == 0, done.err
        return " ".join(done.out.split())

    assert "baseline would be trained: no stage of this method in the cache" in plan()
    assert ltb("run", "--method", "baseline", *TINY).code == 0
    assert "would be trained" not in plan()
    (made,) = (own_cache / "stages").glob("baseline-*")
    text = plan("--set", "baseline.optim.lr=0.2", "--seed", "1")
    assert f"baseline would be trained: baseline.optim.lr 0.1 -> 0.2, seed 0 -> 1 since {made.name} of 2" in text
    assert (made / "stage.json").stat().st_size < 10_000
