"""Every method that is shipped or shown trains on a GPU, and the examples come to what they come to on a CPU."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from examples import table
from tiny import OPTIONS, WIDTHS, settings
from trials import logits, losses, run_here
from zoo import test_runs as zoo

from .runs import OF_FLOAT32, on

EXAMPLES = ("baseline", *table.METHODS)


def elsewhere(run: Sequence[str], device: str, precision: str) -> list[str]:
    """Those settings, computed otherwise; ``KEY=VALUE``."""
    return [each for each in run[1::2] if not each.startswith("compute.")] + on(device, precision)[1::2]


def test_examples_learn_what_they_learn_on_a_cpu(device: str, tmp_path: Path) -> None:
    for where in ("cpu", device):
        overrides = elsewhere(table.RUN, where, "fp32")
        run_here(tmp_path / where, list(table.METHODS), "log-prior", overrides, kill=False, files=table.FILES)
    for method in EXAMPLES:
        found, expected = losses(tmp_path / device, method), losses(tmp_path / "cpu", method)
        assert [epoch for epoch, _ in found] == [epoch for epoch, _ in expected] == [1, 2]
        for (_, loss), (_, same) in zip(found, expected, strict=True):
            assert loss == pytest.approx(same, rel=OF_FLOAT32["fp32"]), method


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_zoo_trains_and_answers(device: str, precision: str, tmp_path: Path) -> None:
    if (device, precision) == ("cpu", "fp16"):
        pytest.skip("fp16 needs an accelerator")
    run_here(tmp_path, zoo.METHODS, "soft", elsewhere(zoo.RUN, device, precision), kill=False)
    for method in zoo.METHODS:
        assert_answers(tmp_path, method)


def test_the_paper_s_methods_train_and_answer(device: str, tmp_path: Path) -> None:
    """All of them together, controls included, under a fuser."""
    methods = ["baseline", "uniform", "experts", "gan", "prototype"]
    brief = {"epochs": 1, "batch_size": 40, "min_steps": 0}
    overrides = settings(
        dataset={"options": OPTIONS},
        backbone={"kwargs": {"widths": WIDTHS}},
        baseline={"optim": brief},
        uniform={"optim": brief},
        experts={"optim": brief, "subset": {"many": {"optim": brief}, "few": {"optim": brief}}},
        gan={"optim": brief, "generative": {"steps": 3}},
        prototype={"optim": brief},
    )
    run_here(tmp_path, methods, "joint", [*overrides[1::2], *on(device, "auto")[1::2]], kill=False)
    for method in methods:
        assert_answers(tmp_path, method)


def assert_answers(cache: Path, method: str) -> None:
    """Finite logits that tell images apart."""
    found = logits(cache, method)
    for member in (*found.val.members, *found.test.members):
        assert torch.isfinite(member.logits).all(), f"{method}: {member.name}"
        assert float(member.logits.std(dim=0).max()) > 0, f"{method}: {member.name}"
