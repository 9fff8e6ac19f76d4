"""compute.compile: backbones through torch.compile, under the same names of weights, in keys of its own.

The graphs are run as they are traced, by a backend that counts them: no compiler is waited for, and every number must stay.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import BASELINE, DATA, TINY, WIDTHS, Outcome, in_subprocess, lasting, settings
from torch import nn

from ltbench.backbones.create import create_backbone
from ltbench.backbones.forks import fork
from ltbench.backbones.shared_pass import SharedPass
from ltbench.config import ComputeConfig
from ltbench.engine.fitting import checkpoint
from ltbench.engine.fitting.trainee import Trainee
from ltbench.engine.machine.compute import Compute

Ltb = Callable[..., Outcome]
COMPILED = settings(compute={"compile": True})


@pytest.fixture
def graphs() -> Iterator[list[torch.fx.GraphModule]]:
    """Those that were compiled."""
    found: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        found.append(graph)
        return graph.forward

    torch._dynamo.reset()
    torch.compiler.set_default_backend(backend)
    yield found
    torch.compiler.set_default_backend(None)
    torch._dynamo.reset()


def convolutions(graphs: list[torch.fx.GraphModule]) -> int:
    return sum("conv2d" in str(node.target) for graph in graphs for node in graph.graph.nodes)


def weights(cache: Path, key: str) -> dict[str, torch.Tensor]:
    (path,) = cache.glob(f"stages/*-{key[:20]}/weights.safetensors")
    return load_file(path)


def run(ltb: Ltb, *arguments: str) -> dict[str, Any]:
    done = ltb("run", "-m", "baseline", *TINY, "--json", *arguments)
    assert done.code == 0, done.err
    return json.loads(done.out)["records"][0]


def test_a_run_is_compiled_and_is_what_it_was(ltb: Ltb, own_cache: Path, graphs: list[torch.fx.GraphModule]) -> None:
    averaged = settings(baseline={"optim": {"ema": 0.9}})
    plain = run(ltb, *averaged)
    assert not graphs
    compiled = run(ltb, *averaged, *COMPILED)
    assert convolutions(graphs) >= 2 * 12, "in training and in evaluation, of ten convolutions and two that adapt each"
    one, other = (weights(own_cache, record["stages"][0]["key"]) for record in (plain, compiled))
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, msg=name)
    assert compiled["config"]["compute"]["compile"] is True
    assert "compile" not in plain["config"]["compute"]
    assert compiled["stages"][0]["key"] != plain["stages"][0]["key"]
    assert compiled["track"] == plain["track"], "it rounds otherwise, as another device does"
    again = run(ltb, *averaged, *COMPILED, *settings(compute={"eval_batch_size": 32}))
    assert again["stages"] == compiled["stages"]


def test_copies_and_names(graphs: list[torch.fx.GraphModule]) -> None:
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", compile=True))
    backbone = create_backbone("resnet10", image_shape=(1, 16, 16), kwargs={"widths": WIDTHS})
    images = torch.randn(4, 1, 16, 16)
    expected = backbone.eval()(images)
    names = list(backbone.state_dict())
    del graphs[:]
    compute.place(nn.Sequential(backbone, nn.Linear(32, 3)))
    torch.testing.assert_close(backbone(images), expected)
    assert convolutions(graphs) >= 10
    assert list(backbone.state_dict()) == names


def test_what_members_share_is_compiled_and_shared(graphs: list[torch.fx.GraphModule]) -> None:
    backbone = create_backbone("resnet10", image_shape=(1, 16, 16), kwargs={"widths": WIDTHS}).eval()
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", compile=True))
    branches = fork(backbone, own_blocks=1, number=3)
    images = torch.randn(4, 1, 16, 16)
    expected = [branch(images) for branch in branches]
    del graphs[:]
    for branch in branches:
        compute.place(branch)
    trainee = Trainee({f"m{n}": (branch, nn.Identity()) for n, branch in enumerate(branches)}, compiled=True).eval()
    names = list(trainee.state_dict())
    found = trainee(images)
    for output, features in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(output.features, features)
    assert convolutions(graphs) > 0
    assert list(trainee.state_dict()) == names


def test_a_shared_pass_stays_one(graphs: list[torch.fx.GraphModule]) -> None:
    """That what is compiled rounds otherwise is no reason to compute everything twice."""
    first = create_backbone("resnet10", image_shape=(1, 16, 16), kwargs={"widths": WIDTHS}).eval()
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", compile=True))
    images = torch.randn(4, 1, 16, 16)
    compute.place(first)
    with torch.compiler.set_stance("force_eager"):
        expected = first(images)

    def off(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        return lambda *given: tuple(1.001 * each for each in graph.forward(*given))

    torch.compiler.set_default_backend(off)
    shared = SharedPass([first, first])
    assert torch.equal(shared(images), torch.cat([expected, expected], dim=1))
    assert shared.steps > 10


def test_where_nothing_can_be_compiled_one_line_says_so(ltb: Ltb, graphs: list[torch.fx.GraphModule]) -> None:
    def missing(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        raise RuntimeError("No working C++ compiler found.\nA traceback of it")

    torch.compiler.set_default_backend(missing)
    done = ltb("run", "-m", "baseline", *TINY, *COMPILED)
    assert done.code == 2
    assert "No working C++ compiler found" in done.complaint
    assert "traceback" not in done.complaint


PLUGIN = """
import os
import torch
from ltbench.plugin import hookimpl

torch.compiler.set_default_backend("eager")


@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    if epoch == int(os.environ.get("STOP_AFTER", 0)):
        raise KeyboardInterrupt
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "traced_alone.py"
    path.write_text(PLUGIN)
    return path


def test_it_goes_on_after_an_interrupt_and_ends_the_same(
    ltb: Ltb, plugin: Path, own_cache: Path, graphs: list[torch.fx.GraphModule], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    asked = ["--plugin", plugin, "run", "-m", "baseline", *TINY, *COMPILED, "--json"]
    monkeypatch.setenv("STOP_AFTER", "2")  # the first epoch is kept by then
    assert ltb(*asked).code == 130
    assert list(own_cache.glob("stages/baseline-*.partial/checkpoint/all.safetensors"))
    monkeypatch.delenv("STOP_AFTER")
    first = json.loads(ltb(*asked).out)["records"][0]
    monkeypatch.setenv("LTBENCH_CACHE", str(own_cache / "another"))
    second = json.loads(ltb(*asked).out)["records"][0]
    assert lasting(first)["stages"] == lasting(second)["stages"], "key and weights"
    assert first["logits_sha256"] == second["logits_sha256"]


def test_two_processes(tmp_path: Path, plugin: Path) -> None:
    short = settings(baseline={**BASELINE, "optim": {**BASELINE["optim"], "epochs": 1}})
    asked = ["--plugin", plugin, "run", "-m", "baseline", *DATA, *short, *COMPILED, "--json", "--num-processes", "2"]
    done = in_subprocess(asked, tmp_path)
    assert done.code == 0, done.err
    record = json.loads(done.out)["records"][0]
    assert record["num_processes"] == 2
    names = weights(tmp_path, record["stages"][0]["key"])
    assert "all.backbone.trunk.conv1.weight" in names
    assert not [name for name in names if "_orig_mod" in name or "module." in name]
