"""A method's own loop that is killed and run again ends as one that was not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltbench.engine.context import StageContext
from ltbench.engine.fitting import checkpoint
from ltbench.testing.method_contract import workbench

TOTAL = 5


class Killed(Exception):
    pass


class Loop:
    """Two modules with an optimiser each, trained on random numbers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.context = StageContext("toy", workbench(folder), folder, {})
        self.log = folder / "log.jsonl"
        torch.manual_seed(0)
        self.modules = nn.ModuleDict({"one": nn.Linear(3, 3), "two": nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1))})
        self.optimizers = {
            "adam": torch.optim.Adam(self.modules["one"].parameters(), 0.01),
            "sgd": torch.optim.SGD(self.modules["two"].parameters(), 0.01, momentum=0.9),
        }
        self.rounds: list[int] = []

    def run(self, kill: int | None = None) -> dict[str, Tensor]:
        self.log.unlink(missing_ok=True)  # as the engine opens a stage again
        for part in self.context.rounds("my loop", TOTAL, {**self.modules, **self.optimizers}):
            if part.number == kill:
                raise Killed
            self.rounds.append(part.number)
            generator = self.context.generator(f"round {part.number}")
            for _ in range(3):
                loss = self.modules["two"](self.modules["one"](torch.randn(8, 3, generator=generator))).square().mean()
                for optimizer in self.optimizers.values():
                    optimizer.zero_grad()
                loss.backward()
                for optimizer in self.optimizers.values():
                    optimizer.step()
            part.log({"round": part.number, "loss": float(loss.detach())})
        return {name: value.clone() for name, value in self.modules.state_dict().items()}

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.mark.parametrize("kills", [[0], [3], [1, 4]])
def test_a_killed_loop_goes_on_and_ends_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: list[int]
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    whole = Loop(tmp_path / "whole")
    expected = whole.run()
    assert whole.rounds == list(range(TOTAL))
    for kill in kills:
        with pytest.raises(Killed):
            Loop(tmp_path / "killed").run(kill)
    resumed = Loop(tmp_path / "killed")
    found = resumed.run()
    assert resumed.rounds == list(range(kills[-1], TOTAL)), "what was done is not done again"
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert resumed.logged() == whole.logged(), "what was logged before is kept"


def test_a_loop_whose_checkpoint_is_damaged_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    expected = Loop(tmp_path / "whole").run()
    with pytest.raises(Killed):
        Loop(tmp_path / "killed").run(3)
    file = tmp_path / "killed" / "checkpoint" / "my_loop.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    again = Loop(tmp_path / "killed")
    found = again.run()
    assert again.rounds == list(range(TOTAL))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ltbench: {file} is damaged: ")
    assert line.endswith("; set aside as my_loop.safetensors.damaged, this training starts again.")


def test_a_finished_loop_is_not_run_again(tmp_path: Path) -> None:
    expected = Loop(tmp_path).run()
    again = Loop(tmp_path)
    found = again.run()
    assert again.rounds == []
    assert all(torch.equal(found[name], value) for name, value in expected.items())
