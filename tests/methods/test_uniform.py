"""Uniform: what it trains on, what it starts from, what it leaves alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ltbench_methods.uniform import Uniform
from safetensors.torch import load_file
from tiny import TINY, Outcome, settings
from torch import Tensor

from .drawn import long_tailed, on_features

Cli = Callable[..., Outcome]


def stages_of(ltb: Cli, **uniform: Any) -> dict[str, Path]:
    """Folders of the stages of a run of uniform with these settings."""
    options = settings(uniform={"views": 2, "optim": {"epochs": 2, "batch_size": 64}} | uniform)
    done = ltb("run", "--method", "uniform", *TINY, *options, "--json")
    assert done.code == 0, done.err
    return {stage["method"]: Path(stage["folder"]) for stage in json.loads(done.out)["stages"]}


def weights(folder: Path, part: str) -> dict[str, Tensor]:
    stored = load_file(folder / "weights.safetensors")
    return {name: value for name, value in stored.items() if name.startswith(f"all.{part}.")}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    assert first.keys() == second.keys() and first
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_classifier_learns_and_the_backbone_stays_the_baselines(ltb: Cli) -> None:
    stages = stages_of(ltb)
    assert same(weights(stages["uniform"], "backbone"), weights(stages["baseline"], "backbone"))
    assert not same(weights(stages["uniform"], "head"), weights(stages["baseline"], "head"))


@pytest.mark.parametrize(("init", "copied"), [("copy", True), ("new", False)])
def test_the_classifier_starts_from_the_baselines_or_anew(ltb: Cli, init: str, copied: bool) -> None:
    stages = stages_of(ltb, head_init=init, optim={"epochs": 0})
    assert same(weights(stages["uniform"], "head"), weights(stages["baseline"], "head")) is copied


def test_every_class_is_drawn_as_often_as_any_other() -> None:
    features, labels = long_tailed([120, 12, 3])
    context, method = on_features(features, labels), Uniform()
    method.fit(context, method.build(context))
    sampler = context.trained[-1]["sampler"]
    drawn = torch.cat([labels[sampler.indices(epoch, torch.Generator().manual_seed(epoch))] for epoch in range(40)])
    assert len(drawn) == 40 * 135
    # Four standard deviations of a share of one third.
    assert (torch.bincount(drawn) / len(drawn) - 1 / 3).abs().max() < 4 * (2 / 9 / len(drawn)) ** 0.5


@pytest.mark.parametrize("views", [1, 3])
def test_it_trains_on_as_many_views_as_asked_for(views: int) -> None:
    features, labels = long_tailed([8, 4], views=3)
    context, method = on_features(features, labels), Uniform(Uniform.Config(views=views))
    method.fit(context, method.build(context))
    assert torch.equal(context.trained[-1]["features"], features[:views])
    assert torch.equal(context.trained[-1]["labels"], labels)
