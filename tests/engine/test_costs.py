"""What a stage costs, against hand counts: multiply-adds, parameters, what was trained on."""

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import TINY
from torch import nn
from torch.nn import functional as F

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.forks import fork
from ltbench.engine.context import StageContext
from ltbench.engine.costs import device_seconds, multiply_adds_of, parameters_of
from ltbench.engine.fitting import checkpoint
from ltbench.engine.fitting.spent import Counts, Spent
from ltbench.method import Member
from ltbench.testing.method_contract import workbench
from ltbench.training.optim import OptimConfig

SHAPE = (1, 6, 6)
CONV = 5 * 9 * 36
"""Multiply-adds of five filters of 3 x 3 over one channel, at 36 places."""
LAYER = 5 * 36 * 7
HEAD = 7 * 4

TRAIN, VAL = 318, 48
"""Images of the contract suite's dataset."""


class Network(nn.Module):
    """A convolution with bias (5 x 9 + 5 parameters) and a linear layer without one (1,260)."""

    def __init__(self) -> None:
        super().__init__()
        self.num_features = 7
        self.conv, self.layer = nn.Conv2d(1, 5, 3, padding=1), nn.Linear(5 * 36, 7, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(F.relu(self.conv(images)).flatten(1))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {"blocks": [(r"^conv", (0,)), (r"^layer", (1,))]}


def member(name: str, backbone: Backbone, classes: int = 4) -> Member:
    return Member(name, torch.arange(classes), backbone, nn.Linear(7, classes, bias=False))


def counted(*members: Member) -> tuple[int, int]:
    for one in members:
        one.module.eval()
    return multiply_adds_of(members, SHAPE, torch.device("cpu")), parameters_of(members)


def test_one_network() -> None:
    assert counted(member("one", Backbone(Network()))) == (CONV + LAYER + HEAD, 50 + 1260 + 28)


def test_a_backbone_of_two_members_counts_once() -> None:
    backbone = Backbone(Network())
    assert counted(member("one", backbone), member("two", backbone)) == (CONV + LAYER + 2 * HEAD, 1310 + 2 * 28)


def test_a_fork_counts_its_trunk_once() -> None:
    backbones = fork(Backbone(Network()), 1, 3)
    for backbone in backbones:
        nn.init.normal_(backbone.trunk.layer.weight)  # type: ignore[union-attr]
    members = [member(str(number), backbone) for number, backbone in enumerate(backbones)]
    assert counted(*members) == (CONV + 3 * (LAYER + HEAD), 50 + 3 * (1260 + 28))


def test_copies_count_as_far_as_their_weights_are_the_same() -> None:
    """As the engine computes them: equal lower blocks once, and what was trained since for itself."""
    first = Backbone(Network())
    second = deepcopy(first)
    nn.init.normal_(second.trunk.layer.weight)  # type: ignore[union-attr]
    assert counted(member("one", first), member("two", second)) == (CONV + 2 * (LAYER + HEAD), 50 + 2 * 1288)
    nn.init.normal_(second.trunk.conv.weight)  # type: ignore[union-attr]
    one, two = member("one", first), member("two", second)
    assert counted(one, two) == (2 * (CONV + LAYER + HEAD), 2 * 1338 - 5), "their bias is still the same"


class Sample:
    """A stage of the contract suite's six patterns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.context = StageContext("toy", workbench(folder), folder, {})
        backbone = self.context.new_backbone()
        self.member = Member("all", torch.arange(6), backbone, nn.Linear(backbone.num_features, 6))
        self.context._workbench.compute.place(self.member.module)

    @property
    def spent(self) -> Spent:
        return self.context.spent


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return Sample(tmp_path)


def test_images_are_epochs_times_samples_times_views(sample: Sample) -> None:
    optim = OptimConfig(epochs=3, batch_size=100, lr=0.01, min_steps=0)
    sample.context.train(sample.member, optim=optim, label="one view")
    assert (sample.spent.counts.images, sample.spent.counts.features) == (3 * TRAIN, 0)
    sample.context.train(sample.member, optim=optim, views=2, objective=two_views, label="two views")
    assert sample.spent.counts.images == (3 + 3 * 2) * TRAIN


def two_views(step: Any) -> torch.Tensor:
    return sum(F.cross_entropy(outputs["all"].logits, step.targets) for outputs in step.view_outputs)  # type: ignore[return-value]


def test_epochs_that_patience_saves_are_not_counted(sample: Sample) -> None:
    optim = OptimConfig(epochs=9, batch_size=100, lr=1e-12, patience=2, min_steps=0)
    result = sample.context.train(sample.member, optim=optim, learnable_blocks=1)
    assert len(result.history) == 3
    assert sample.spent.counts.images == 3 * TRAIN


def test_features_are_counted_by_themselves(sample: Sample) -> None:
    features = sample.context.features(sample.member.backbone, "train", views=3)
    sample.context.features(sample.member.backbone, "val")
    optim = OptimConfig(epochs=4, batch_size=50, lr=0.01, min_steps=0)
    sample.context.train(sample.member, optim=optim, features=features)
    assert sample.spent.counts == Counts(images=0, features=4 * TRAIN, seconds=0.0)
    assert sample.spent.extracted == 3 * TRAIN, "validation is no training"
    assert sample.spent.learned == 6 * sample.member.backbone.num_features + 6, "the head alone"


def test_what_learns_counts_once_and_with_it_what_helps(sample: Sample) -> None:
    optim = OptimConfig(epochs=1, batch_size=100, lr=0.01, min_steps=0)
    sample.context.train(sample.member, optim=optim, learnable_blocks=1, label="head")
    head = 6 * sample.member.backbone.num_features + 6
    assert sample.spent.learned == head
    sample.context.train(sample.member, optim=optim, label="all", keep={"helper": nn.Linear(2, 3)}, objective=helped)
    assert sample.spent.learned == sum(each.numel() for each in sample.member.module.parameters()) + 9


def test_a_training_that_only_looks_teaches_nothing(sample: Sample) -> None:
    optim = OptimConfig(epochs=1, batch_size=100, lr=0.01, min_steps=0)
    sample.context.train(sample.member, optim=optim, update=only_look)
    assert (sample.spent.counts.images, sample.spent.learned) == (TRAIN, 0)


def only_look(step: Any, optimizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return step.loss_of(F.cross_entropy)


def helped(step: Any) -> torch.Tensor:
    return F.cross_entropy(step.outputs["all"].logits, step.targets)


def test_a_loop_of_its_own_counts_what_it_takes_and_goes_on_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)

    def run(folder: Path, kill: int | None) -> Spent:
        sample = Sample(folder)
        for part in sample.context.rounds("loop", 4, {"head": sample.member.head}):
            if part.number == kill:
                return sample.spent
            for batch in sample.context.batches(part.number, batch_size=64, views=2):
                assert len(batch.views) == 2
        return sample.spent

    whole = run(tmp_path / "whole", None)
    assert whole.counts.images == 4 * 2 * TRAIN
    assert whole.learned == sum(each.numel() for each in Sample(tmp_path / "other").member.head.parameters())
    run(tmp_path / "killed", 3)
    resumed = run(tmp_path / "killed", None)
    assert resumed.counts.images == whole.counts.images
    assert resumed.counts.seconds > 0 == whole.counts.seconds, "of the attempt before"


def test_seconds_are_of_all_processes_and_attempts() -> None:
    spent = Spent(Counts(seconds=5.0))
    compute: Any = SimpleNamespace(device=torch.device("cpu"), total=lambda values: 2 * values)
    assert device_seconds(spent, 7.0, compute) == pytest.approx(24.0)


def test_a_record_says_what_its_stage_says(ltb, own_cache: Path, tmp_path: Path) -> None:
    done = ltb("run", "--method", "baseline", *TINY, "--results", tmp_path / "kept", "--json")
    assert done.code == 0, done.err
    (stage,) = own_cache.glob("stages/baseline-*/stage.json")
    cost = json.loads(stage.read_text())["cost"]
    (path,) = tmp_path.glob("kept/*/baseline--none--*.json")
    content = json.loads(path.read_text())
    assert [stage["cost"] for stage in content["stages"]] == [cost]
    assert cost["images"] == 2 * content["dataset"]["train"]
    assert cost["learned"] == cost["parameters"]
    assert ltb("verify", path, "--strict").code == 0
    content["stages"][0]["cost"]["images"] -= 1
    path.write_text(json.dumps(content))
    done = ltb("verify", path)
    assert done.code == 1
    assert "the cost of 'baseline' in the cache is another" in done.out


def test_a_record_of_before_says_nothing_and_keeps_its_content() -> None:
    from results.records import baseline

    from ltbench.results.record import Record

    text = baseline().model_dump_json()
    assert '"cost"' not in text
    assert Record.model_validate_json(text).stages[0].cost is None
