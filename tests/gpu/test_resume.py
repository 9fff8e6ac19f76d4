"""A training that is killed (SIGKILL) on a GPU and run again: to the bit where torch computes deterministically, else nearly."""

import signal
from pathlib import Path

import pytest
import torch
from examples.table import DATASET, FILES, OPTIM
from lives import KILLER
from tiny import in_subprocess, settings
from trials import losses, run_in_lives

from .runs import HALF, RESNET, SETTINGS, on, weights

DETERMINISTIC = Path(__file__).parents[1] / "fixtures" / "deterministic.py"

METHODS = ("baseline", "averaged", "contrasted")
"""Momentum; an average of the weights; a queue, a slow copy of the network and a projection."""

RUN = settings(
    dataset={"options": DATASET},
    backbone=RESNET,
    baseline={"optim": OPTIM},
    averaged={"optim": OPTIM},
    contrasted={"optim": OPTIM, "queue": 60},
)

NEARLY = 0.02
"""Share of an epoch's mean loss. Without deterministic algorithms two unbroken runs on a GPU differ, too."""


@pytest.mark.parametrize("precision", ["fp32", *HALF])
def test_a_killed_training_ends_bit_identical(device: str, precision: str, tmp_path: Path) -> None:
    if (device, precision) == ("cpu", "fp16"):
        pytest.skip("fp16 needs an accelerator")
    overrides = [*RUN[1::2], *on(device, precision)[1::2]]
    for folder, files, deaths in (("whole", [DETERMINISTIC], 0), ("killed", [DETERMINISTIC, KILLER], len(METHODS))):
        asked = [*FILES, *files]
        found = run_in_lives(tmp_path / folder, METHODS, "soft", overrides, asked, CUBLAS_WORKSPACE_CONFIG=":4096:8")
        assert found == deaths
    for method in METHODS:
        expected, resumed = weights(tmp_path / "whole", method), weights(tmp_path / "killed", method)
        assert expected.keys() == resumed.keys()
        for name, value in expected.items():
            assert torch.equal(resumed[name], value), f"{method}: {name}"
        assert losses(tmp_path / "killed", method) == losses(tmp_path / "whole", method)


def test_the_command_itself_is_killed_and_typed_again(device: str, tmp_path: Path) -> None:
    """As a user runs it: whatever is fastest, in the precision that the hardware likes best."""
    command = ["run", "-m", "baseline", *settings(**SETTINGS), *on(device, "auto")]
    assert in_subprocess(["--plugin", KILLER, *command], tmp_path / "killed").code == -signal.SIGKILL
    for cache in (tmp_path / "killed", tmp_path / "whole"):
        done = in_subprocess(command, cache)
        assert done.code == 0, done.err
    found, expected = (losses(tmp_path / name, "baseline") for name in ("killed", "whole"))
    assert [epoch for epoch, _ in found] == [epoch for epoch, _ in expected] == [1, 2]
    for (_, loss), (_, whole) in zip(found, expected, strict=True):
        assert loss == pytest.approx(whole, rel=NEARLY)
