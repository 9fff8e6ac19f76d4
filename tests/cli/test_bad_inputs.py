"""Every row of the table in bad_inputs.py: its exit code and its one line, in this process; a sample of them in their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import timm
import torch
from results.records import record
from safetensors.torch import save_file
from tiny import Outcome

from ltbench.cli.group import Stub, cli
from ltbench.data.folds import FOLD_RULES
from ltbench.fuser import MemberLogits
from ltbench.results.logits import LogitsFolder, SplitLogits, write_logits
from ltbench.results.store import save

from .bad_inputs import ROWS, SAMPLE, Bad

FOREIGN = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LTBENCH_RESULTS")
"""Of the environment: what the machine that runs the tests might set."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the placeholders of the rows stand for."""
    folder = tmp_path_factory.mktemp("bad-inputs")
    write_logits(folder / "logits", _logits())
    save(record("base", fuser="none"), folder / "records")
    save_file(timm.create_model("resnet18", in_chans=1).state_dict(), folder / "resnet18.safetensors")
    return {
        "logits": str(folder / "logits"),
        "records": str(folder / "records"),
        "resnet18": str(folder / "resnet18.safetensors"),
    }


def _logits() -> LogitsFolder:
    def split(samples: int) -> SplitLogits:
        labels = torch.arange(samples) % 4
        values = torch.randn(samples, 4, generator=torch.Generator().manual_seed(samples))
        return SplitLogits(
            [MemberLogits("mine/all", "mine", torch.arange(4), "none", values)], labels, torch.arange(samples)
        )

    return LogitsFolder(4, np.array([200, 60, 20, 5]), split(40), split(20), {})


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, str]) -> Callable[[Bad], list[str]]:
    """Makes the current folder and the environment those of a row; gives its arguments."""

    def prepare(row: Bad) -> list[str]:
        monkeypatch.chdir(tmp_path)
        for name in FOREIGN:
            monkeypatch.delenv(name, raising=False)
        for name, content in row.files.items():
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        for name, value in row.environment.items():
            monkeypatch.setenv(name, value)
        return [_filled(part, made) for part in row.arguments]

    return prepare


def _filled(text: str, made: dict[str, str]) -> str:
    for name, value in made.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def assert_one_line(row: Bad, done: Outcome) -> None:
    errors = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.err
    assert row.says in errors[0]
    assert done.code == row.code, done.err
    assert "Traceback" not in done.err
    assert "This is a bug" not in done.err
    assert done.err.splitlines()[-1] == errors[0]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_bad_input_is_an_exit_code_and_a_line(ltb: Callable[..., Outcome], prepared, row: Bad) -> None:
    assert_one_line(row, ltb(*prepared(row)))


@pytest.mark.parametrize("row", SAMPLE, ids=str)
def test_on_the_command_line_it_is_the_same(prepared, row: Bad, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ltbench", *prepared(row)],
        env=os.environ | {"LTBENCH_CACHE": str(tmp_path / "cache")} | dict(row.environment),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert_one_line(row, Outcome(done.returncode, done.stdout, done.stderr))


def test_every_command_has_a_row() -> None:
    asked = {" ".join(part for part in row.arguments if not part.startswith("-")) for row in ROWS}
    for name, command in cli.commands.items():
        loaded = command.load() if isinstance(command, Stub) else command
        subcommands = [f"{name} {sub}" for sub in loaded.commands] if isinstance(loaded, click.Group) else [name]
        for each in subcommands:
            assert any(each in line for line in asked), f"no bad input of '{each}'"


def test_there_are_enough() -> None:
    assert len({str(row) + row.says for row in ROWS}) >= 150
    assert {row.code for row in ROWS} == {1, 2, 3, 4}
    assert FOLD_RULES.keys().isdisjoint({"papers"})
