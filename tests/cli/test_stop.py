"""A hook stops a run: one line, exit code 5, nothing computed is lost, the same command goes on; on several processes, too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import BASELINE, DATA, TINY, Outcome, in_subprocess, lasting, settings

import ltbench
from ltbench import StopRun
from ltbench.errors import PluginError
from ltbench.settings.recipes import resolve

STOPPING = """
import os
from pathlib import Path
from ltbench import StopRun
from ltbench.plugin import hookimpl

def note(what):
    asked, rank = os.environ.get("STOP_AT", ""), os.environ.get("RANK", "0")
    with Path(os.environ["HEARD"]).open("a") as file:
        print(what, file=file)
    if what == asked or f"{what} on {rank}" == asked:
        raise StopRun("enough\\nfor today")

@hookimpl
def ltbench_before_run(run):
    note("before")

@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    note(f"{stage} {epoch}")

@hookimpl
def ltbench_after_record(run, record):
    note(f"{record.methods[0]} / {record.fuser}")

@hookimpl
def ltbench_on_run_error(run, error):
    note(f"error {type(error).__name__}")
"""

LINE = "Stopped: plugin 'stopping' (stopping.py) says: enough for today. The same command goes on from here."


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What the hooks heard since the last time."""
    file = tmp_path / "heard.txt"
    monkeypatch.setenv("HEARD", str(file))

    def read() -> list[str]:
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    return read


@pytest.fixture
def stopping(tmp_path: Path) -> Path:
    path = tmp_path / "stopping.py"
    path.write_text(STOPPING)
    return path


def stops(done: Outcome) -> bool:
    return done.code == 5 and done.err.splitlines()[-1] == LINE and "Traceback" not in done.err


def comparable(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [lasting(record) for record in answer["records"]]


def test_a_run_stopped_in_each_of_its_hooks_ends_as_if_it_had_not_been(
    ltb, own_cache: Path, shared_cache: Path, stopping: Path, heard: Callable[[], list[str]], monkeypatch
) -> None:
    command = ("--plugin", stopping, "run", "-m", "baseline", *TINY)
    runs = own_cache / "runs"

    monkeypatch.setenv("STOP_AT", "before")
    assert stops(ltb(*command))
    assert heard() == ["before", "error StopRun"]
    assert not list(own_cache.glob("stages/*"))

    monkeypatch.setenv("STOP_AT", "baseline/all 1")
    assert stops(ltb(*command))
    assert heard() == ["before", "baseline/all 1", "error StopRun"]
    assert list(own_cache.glob("stages/*.partial/checkpoint/all.safetensors")), "one epoch is done, and kept"

    monkeypatch.setenv("STOP_AT", "baseline/all 2")
    assert stops(ltb(*command))
    assert heard() == ["before", "baseline/all 2", "error StopRun"], "the first epoch is not trained again"

    monkeypatch.setenv("STOP_AT", "baseline / none")
    assert stops(ltb(*command))
    assert heard() == ["before", "baseline / none", "error StopRun"], "no epoch is"
    assert len(list(runs.glob("*/records/*/baseline--none--*.json"))) == 1
    (listed,) = json.loads(ltb("list", "runs", "--json").out)
    assert list(listed["all"]) == ["baseline"]

    monkeypatch.setenv("STOP_AT", "")
    finished = json.loads(ltb(*command, "--json").out)
    assert heard() == ["before", "baseline / none", "baseline / joint"]
    monkeypatch.setenv("LTBENCH_CACHE", str(shared_cache))
    assert comparable(finished) == comparable(json.loads(ltb("run", "-m", "baseline", *TINY, "--json").out))


def test_two_processes_stop_together_wherever_one_of_them_is_told_to(
    tmp_path: Path, stopping: Path, heard: Callable[[], list[str]]
) -> None:
    command = ["--plugin", stopping, "run", "-m", "baseline", *TINY, "--num-processes", 2]

    def run(stop_at: str) -> Outcome:
        done = in_subprocess(command, tmp_path / "cache", STOP_AT=stop_at, timeout=180)
        assert done.err.count("Stopped") == bool(stop_at), done.err
        return done

    assert stops(run("before on 1"))
    assert sorted(heard()) == ["before", "before", "error StopRun", "error StopRun"]
    assert stops(run("baseline/all 1"))
    assert sorted(heard()) == ["baseline/all 1", "before", "before", "error StopRun", "error StopRun"]
    assert stops(run("baseline / none"))
    assert {"baseline/all 2", "baseline / none"} < set(heard())
    assert run("").code == 0
    assert sorted(heard()) == ["baseline / joint", "baseline / none", "before", "before"]


def test_all_plugins_hear_before_the_run_ends_and_the_first_reason_counts(
    ltb, stopping: Path, tmp_path: Path, heard: Callable[[], list[str]], monkeypatch
) -> None:
    other = tmp_path / "another.py"
    louder = STOPPING.replace("def note(what):", "def note(what):\n    print('also', what)")
    other.write_text(louder.replace("enough", "too much"))
    monkeypatch.setenv("STOP_AT", "before")
    done = ltb("--plugin", stopping, "--plugin", other, "run", "-m", "baseline", *TINY)
    assert stops(done)
    assert done.out.splitlines() == ["also before", "also error StopRun"]


def test_a_stop_is_one_of_all_seeds(ltb, stopping: Path, heard: Callable[[], list[str]], monkeypatch) -> None:
    monkeypatch.setenv("STOP_AT", "baseline / joint")
    done = ltb("--plugin", stopping, "run", "-m", "baseline", *TINY, "--seeds", "0,1")
    assert stops(done)
    assert heard().count("before") == 1


def test_from_python_a_stop_is_an_exception_with_its_plugin_and_reason(
    stopping: Path, heard: Callable[[], list[str]], monkeypatch
) -> None:
    monkeypatch.setenv("STOP_AT", "before")
    config = resolve(methods=["baseline"], overrides=TINY[1::2]).config.model_copy(update={"plugins": (stopping,)})
    with pytest.raises(StopRun) as caught:
        ltbench.run(config)
    assert (caught.value.reason, caught.value.plugin) == ("enough for today", "plugin 'stopping' (stopping.py)")
    assert heard() == ["before", "error StopRun"]


OTHER_PLACES = """
from ltbench import StopRun
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline

@hookimpl
def ltbench_methods():
    for name in ("Deaf", "Impatient"):
        yield MethodSpec(name.lower(), target=f"other_places:{name}", recipe="baseline")

@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    if stage == "deaf/all":
        raise StopRun("not to be overheard")

@hookimpl
def ltbench_on_run_error(run, error):
    raise StopRun("over already")

class Deaf(Baseline):
    def fit(self, context, members):
        try:
            super().fit(context, members)
        except Exception:
            pass

class Impatient(Baseline):
    def fit(self, context, members):
        raise StopRun("a method is no hook")
"""


@pytest.fixture
def other_places(tmp_path: Path) -> Path:
    path = tmp_path / "other_places.py"
    path.write_text(OTHER_PLACES)
    return path


def quick(name: str) -> list[str]:
    return [*DATA, *settings(**{name: BASELINE}), "--no-controls"]


def test_a_method_that_catches_everything_does_not_catch_a_stop(ltb, own_cache: Path, other_places: Path) -> None:
    done = ltb("--plugin", other_places, "run", "-m", "deaf", *quick("deaf"))
    assert done.code == 5
    assert "says: not to be overheard. The same command" in done.err
    assert not list(own_cache.glob("stages/*/stage.json"))


def test_only_a_hook_stops_a_run(ltb, own_cache: Path, other_places: Path) -> None:
    """A method's own StopRun is its failure; a plugin that is told of an error cannot turn it into a stop."""
    done = ltb("--plugin", other_places, "run", "-m", "impatient", *quick("impatient"))
    assert done.code == PluginError.exit_code
    last = done.err.splitlines()
    assert last[0].startswith(
        "ltbench: plugin 'other_places' (other_places.py) is broken: ltbench_on_run_error failed: StopRun"
    )
    assert "method 'impatient' of plugin 'other_places'" in last[-1]
    assert "failed in fit with StopRun: a method is no hook" in last[-1]


def test_a_stop_without_words_says_so() -> None:
    assert str(StopRun()) == "no reason given."
    assert StopRun("two\n lines").reason == "two lines"
