"""Optimisers, clipping, layer decay, averages of weights: against independent computations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.create import create_backbone
from ltbench.engine.fitting import checkpoint
from ltbench.engine.fitting.optimizers import make_optimizer
from ltbench.engine.fitting.stepping import Level
from ltbench.engine.fitting.trainee import Trainee
from ltbench.engine.machine.compute import Compute
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step

from .toy import batches, linear, run_toy

BASE = {"epochs": 3, "lr": 0.05, "schedule": "constant", "momentum": 0.0, "weight_decay": 0.0, "validate_every": 3}


def optim(**changes: object) -> OptimConfig:
    return OptimConfig.model_validate(BASE | changes)


def by_torch(optimizer: torch.optim.Optimizer, head: nn.Module, clip: float | None = None) -> list[dict[str, Tensor]]:
    """The weights after each step of a loop without the harness."""
    after = []
    for epoch in range(3):
        for batch in batches(epoch):
            optimizer.zero_grad()
            F.cross_entropy(head(batch.views[0]), batch.targets).backward()
            if clip is not None:
                total = torch.cat([each.grad.flatten() for each in head.parameters()]).norm()
                for each in head.parameters():
                    each.grad.mul_(min(1.0, clip / (float(total) + 1e-6)))
            optimizer.step()
            after.append({name: value.detach().clone() for name, value in head.state_dict().items()})
    return after


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"momentum": 0.9, "nesterov": True}, lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True)),
        ({"momentum": 0.9}, lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
        (
            {"optimizer": "adamw", "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1},
            lambda p: torch.optim.AdamW(p, 0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        ),
    ],
)
def test_an_optimiser_takes_the_steps_of_torch_s(compute: Compute, tmp_path: Path, settings, make) -> None:
    trainee, reference = linear(), linear().heads[0]
    run_toy(trainee, optim(**settings), compute, tmp_path)
    expected = by_torch(make(reference.parameters()), reference)[-1]
    torch.testing.assert_close(trainee.heads[0].weight.detach(), expected["weight"])
    torch.testing.assert_close(trainee.heads[0].bias.detach(), expected["bias"])


def test_gradients_are_clipped_to_the_norm(compute: Compute, tmp_path: Path) -> None:
    trainee, reference = linear(), linear().heads[0]
    run_toy(trainee, optim(clip_norm=0.05), compute, tmp_path)
    expected = by_torch(torch.optim.SGD(reference.parameters(), 0.05), reference, clip=0.05)[-1]
    torch.testing.assert_close(trainee.heads[0].weight.detach(), expected["weight"])


def test_the_average_of_the_weights_is_what_is_validated_and_kept(compute: Compute, tmp_path: Path) -> None:
    """Started from the weights after the first step, as timm does."""
    trainee, reference, validated = linear(), linear().heads[0], []

    def validate(seen: Trainee) -> float:
        validated.append(seen.heads[0].weight.detach().clone())
        return 1.0

    run_toy(trainee, optim(ema=0.8), compute, tmp_path, validate=validate)
    steps = by_torch(torch.optim.SGD(reference.parameters(), 0.05), reference)
    average = steps[0]["weight"].numpy().astype(np.float64)
    for after in steps[1:]:
        average = 0.8 * average + 0.2 * after["weight"].numpy()
    np.testing.assert_allclose(validated[-1].numpy(), average, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trainee.heads[0].weight.detach().numpy(), average, rtol=1e-5, atol=1e-6)


def test_layer_decay_and_exemptions_from_weight_decay_by_block() -> None:
    vit = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    backbone = create_backbone("vit_tiny_patch16_224", image_shape=(3, 16, 16), kwargs=vit)
    trainee = Trainee({"all": (backbone, nn.Linear(32, 5))})
    settings = OptimConfig(optimizer="adamw", lr=1.0, weight_decay=0.1, layer_decay=0.5, decay_norm_and_bias=False)
    made = make_optimizer(settings, trainee, [], None)
    named = {id(each): name for name, each in trainee.named_parameters()}
    of = {named[id(each)]: group for group in made.param_groups for each in group["params"]}
    assert set(of) == set(named.values())
    top = len(backbone.blocks)
    rates = {name: group["lr"] for name, group in of.items()}
    assert rates["heads.0.weight"] == rates["heads.0.bias"] == 1.0
    assert rates["backbones.0.trunk.patch_embed.proj.weight"] == 0.5**top
    assert (
        rates["backbones.0.trunk.blocks.1.attn.qkv.weight"] == 2 * rates["backbones.0.trunk.blocks.0.attn.qkv.weight"]
    )
    decays = {name: group["weight_decay"] for name, group in of.items()}
    assert decays["heads.0.weight"] == decays["backbones.0.trunk.blocks.0.mlp.fc1.weight"] == 0.1
    exempt = ("heads.0.bias", "backbones.0.trunk.blocks.0.norm1.weight", "backbones.0.trunk.pos_embed")
    assert {decays[name] for name in exempt} == {0.0}


def test_warm_up_in_epochs_and_milestones() -> None:
    ldam = OptimConfig(epochs=200, schedule="step", milestones=(160, 180), step_gamma=0.01, warmup_epochs=5)
    steps = 3
    factors = np.array([ldam.factor(step, steps, 200) for step in range(600)])
    assert factors[:15] == pytest.approx((np.arange(15) + 1) / 15)
    assert set(factors[15:480]) == {1.0}
    assert factors[480:540] == pytest.approx([0.01] * 60)
    assert factors[540:] == pytest.approx([0.0001] * 60)


def test_an_unknown_optimiser_is_named_with_the_closest() -> None:
    with pytest.raises(ValidationError, match="timm has no such optimiser. Did you mean 'adam'?"):
        OptimConfig(optimizer="adamv")


class Killed(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


class Queue(nn.Module):
    """A projection that learns, and a queue of what it made."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.projection = nn.Linear(4, 3)
        self.register_buffer("queue", torch.zeros(20, 3))

    def objective(self, step: Step) -> dict[str, Tensor]:
        made = self.projection(step.images)
        near = (made @ self.queue.T).square().mean()
        self.queue = torch.cat([step.gather(made), self.queue])[:20]
        return {"loss": step.loss_of(F.cross_entropy) + 0.1 * near + made.square().mean(), "near": near}


def by_update(queue: Queue, of_queue: torch.optim.Optimizer):
    """The members' optimiser and one of the queue's own."""

    def update(step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        of_queue.zero_grad()
        loss = queue.objective(step)["loss"]
        step.backward(loss)
        optimizer.step()
        of_queue.step()
        return loss

    return update


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "lamb", "sgd", "two"])
def test_a_killed_training_ends_bit_identical(
    compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """With an average, clipping, dropout, statistics, modules of the objective's own; once with a second optimiser."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    name = "adamw" if optimizer == "two" else optimizer
    settings = OptimConfig(epochs=5, lr=0.01, optimizer=name, clip_norm=0.5, ema=0.9, ema_warmup=True)

    def run(folder: str, kill: int | None) -> tuple[Trainee, Queue, list[int]]:
        trainee, queue, done = linear(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.3))), Queue(), []
        of_queue = torch.optim.Adam(queue.parameters(), 0.02)
        two = optimizer == "two"
        keep = {"queue": queue, **({"of_queue": of_queue} if two else {})}
        level = Level(update=by_update(queue, of_queue)) if two else Level(objective=queue.objective)

        def after(epoch: int, metrics: dict[str, float]) -> None:
            done.append(epoch)
            if epoch == kill:
                raise Killed

        run_toy(trainee, settings, compute, tmp_path / folder, level=level, keep=keep, after_epoch=after)
        return trainee, queue, done

    whole, queue, _ = run("whole", None)
    for kill in (2, 4):
        with pytest.raises(Killed):
            run("killed", kill)
    resumed, resumed_queue, done = run("killed", None)
    assert done == [4, 5], "it goes on with the epoch that was lost"
    for ours, theirs in ((resumed, whole), (resumed_queue, queue)):
        for key, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[key], value), key


def test_what_is_kept_learns_along(compute: Compute, tmp_path: Path) -> None:
    queue = Queue()
    before = queue.projection.weight.detach().clone()
    run_toy(linear(), optim(), compute, tmp_path, level=Level(objective=queue.objective), keep={"queue": queue})
    assert not torch.equal(queue.projection.weight, before)
    frozen = Queue()
    frozen.requires_grad_(False)
    run_toy(linear(), optim(), compute, tmp_path / "2", level=Level(objective=frozen.objective), keep={"queue": frozen})
    assert torch.equal(frozen.projection.weight, before)
    assert frozen.queue.abs().sum() > 0
