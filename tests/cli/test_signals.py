"""SIGTERM and SIGHUP end a command as Ctrl-C does: one line, 128 + the signal, and the next run goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import TINY, in_subprocess

LONG = [*TINY, "--set", "baseline.optim.epochs=1000000"]

HEARING = """
from ltbench.plugin import hookimpl

@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    if epoch == 2:
        print("training", flush=True)

@hookimpl
def ltbench_on_run_error(run, error):
    print(f"heard of {type(error).__name__}", flush=True)
"""


def hear_all() -> None:
    """A shell's background jobs ignore SIGINT, and what nohup starts SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def training(tmp_path: Path, *more: str, prefix: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """A command that trains and has finished two epochs."""
    plugin = tmp_path / "hearing.py"
    plugin.write_text(HEARING)
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "ltbench", "--plugin", str(plugin), "run", "-m", "baseline", *LONG, *more],
        env=os.environ | {"LTBENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_all,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        yield process
    finally:
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_a_training_like_ctrl_c(tmp_path: Path, number: signal.Signals) -> None:
    with training(tmp_path) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.strip() == "Error: interrupted."
    assert out.strip() == "heard of Interrupted"
    assert list((tmp_path / "cache").glob("stages/baseline-*.partial/checkpoint")), "the next run goes on from it"
    assert not list((tmp_path / "cache").glob("stages/*/stage.json"))


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As under nohup."""
    with training(tmp_path, prefix=("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("how", ["SIGTERM to the command", "Ctrl-C to all of them"])
def test_a_signal_ends_the_processes_of_a_run(tmp_path: Path, how: str) -> None:
    number = signal.SIGTERM if "SIGTERM" in how else signal.SIGINT
    with training(tmp_path, "--num-processes", "2", "--oversubscribe") as process:
        both = children(process.pid)
        assert len(both) == 2
        for pid in [process.pid, *(both if number == signal.SIGINT else [])]:
            os.kill(pid, number)
        _, err = process.communicate(timeout=60)
        assert all(gone(pid) for pid in both)
    assert process.returncode == 128 + number
    assert err.strip() == "Error: interrupted."


def test_a_process_that_is_killed_ends_the_others(tmp_path: Path) -> None:
    with training(tmp_path, "--num-processes", "2", "--oversubscribe") as process:
        both = children(process.pid)
        os.kill(both[1], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert all(gone(pid) for pid in both)
    assert process.returncode == 1
    assert err.strip() == "Error: process 1 of the run was ended by signal 9 (SIGKILL): is there enough memory?"


def test_a_dry_run_starts_no_processes(tmp_path: Path) -> None:
    """Sixteen would need as many times the memory; the plan is the same."""
    plugin = tmp_path / "counting.py"
    plugin.write_text("print('started', flush=True)\nfrom ltbench.plugin import hookimpl\n" + HEARING)
    arguments = [
        "--plugin",
        plugin,
        "run",
        "-m",
        "baseline",
        *TINY,
        "--num-processes",
        16,
        "--oversubscribe",
        "--dry-run",
    ]
    done = in_subprocess(arguments, tmp_path / "cache")
    assert done.code == 0, done.err
    assert done.out.count("started") == 1
    assert "will be trained" in done.out
