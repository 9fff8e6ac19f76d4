"""The public fake context offers what a real one does, under the same names and arguments."""

import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from ltbench.engine.context import StageContext
from ltbench.errors import LtbenchError
from ltbench.method import MethodContext
from ltbench.testing import FakeContext
from ltbench.training.optim import OptimConfig

OFFERED = [name for name in {*vars(MethodContext), *MethodContext.__annotations__} if not name.startswith("_")]


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_it_has_what_a_context_has(name: str) -> None:
    assert hasattr(FakeContext([3, 2]), name)
    if inspect.isfunction(vars(MethodContext).get(name)):
        ours, theirs = (list(inspect.signature(getattr(cls, name)).parameters) for cls in (FakeContext, StageContext))
        assert ours == theirs


def test_training_is_noted_and_answered() -> None:
    context = FakeContext([3, 2], stages=["baseline"], answer=lambda members, asked: 10.0 * asked["optim"].epochs)
    (member,) = context.stage("baseline")
    assert context.train(member, optim=OptimConfig(epochs=4)).best_accuracy == 40.0
    assert context.trained == [{"members": [member], "optim": OptimConfig(epochs=4)}]
    with pytest.raises(TypeError, match=r"train\(\) got an unexpected keyword argument 'epochs'"):
        context.train(member, epochs=4)  # type: ignore[call-arg]
    nn.init.zeros_(member.head.weight)
    assert context.stage("baseline")[0].head.weight.any(), "a stage is given in copies"
    with pytest.raises(LtbenchError, match="asked for the stage of 'uniform', but there is baseline"):
        context.stage("uniform")


def test_features_are_those_given_or_the_backbone_s_own(tmp_path: Path) -> None:
    given = torch.randn(2, 5, 7)
    context = FakeContext([3, 2], features=given, folder=tmp_path)
    backbone = context.new_backbone()
    assert torch.equal(context.features(backbone, "train", 2), given)
    assert context.features(backbone, "val").shape == (1, 10, 7)
    with pytest.raises(LtbenchError, match="asked for 3 views of 'train', but this context was given 2"):
        context.features(backbone, "train", 3)
    assert context.artifact("figure.png") == tmp_path / "figure.png"


def test_batches_pass_once_over_the_images() -> None:
    context = FakeContext([8, 3])
    first, second = (list(context.batches(epoch, batch_size=4, views=2)) for epoch in (0, 1))
    order = torch.cat([batch.indices for batch in first])
    assert torch.equal(order.sort().values, torch.arange(11))
    assert not torch.equal(order, torch.cat([batch.indices for batch in second]))
    assert [len(batch) for batch in first] == [4, 4, 3]
    assert all(torch.equal(batch.targets, context.train_split.labels[batch.indices]) for batch in first)


def test_interrupted_rounds_go_on_with_what_was_kept() -> None:
    context, seen = FakeContext([3, 2]), []

    def loop() -> nn.Linear:
        model = nn.Linear(1, 1)
        nn.init.zeros_(model.weight)
        for part in context.rounds("loop", 4, keep={"model": model}):
            seen.append(part.number)
            with torch.no_grad():
                model.weight += 10**part.number
        return model

    context.interrupt_before = 2
    with pytest.raises(KeyboardInterrupt):
        loop()
    context.interrupt_before = None
    assert float(loop().weight) == 1111
    assert seen == [0, 1, 2, 3]
