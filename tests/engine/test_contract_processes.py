"""Two processes train by an objective as one does: views of a sample and pairs of a mixup stay together, a queue is the same
everywhere, gradients of shared trunks and of a projection are averaged. The network has no BatchNorm."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import in_subprocess, settings

from ltbench.results.logits import read_logits

from .test_processes import SETTINGS, assert_same_logits, images, losses, overrides, with_set

__all__ = ["images"]  # a fixture

PLUGIN = """
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from ltbench.backbones.forks import fork
from ltbench.method import Member, Method, MethodConfig
from ltbench.data.augmentation.augment import AugmentConfig
from ltbench.training.optim import OptimConfig
from ltbench.plugin import MethodSpec, hookimpl

@hookimpl
def ltbench_methods():
    yield MethodSpec("contrasted", target="{module}:Contrasted", partial=True)
    yield MethodSpec("climbing", target="{module}:Climbing", partial=True)

class Contrasted(Method):
    class Config(MethodConfig):
        optim: OptimConfig = Field(OptimConfig(), description="of both")

    def build(self, context):
        ids = torch.arange(len(context.classes))
        backbones = fork(context.new_backbone(), 1, 2)
        members = [Member(f"m{{n}}", ids, b, nn.Linear(b.num_features, len(ids))) for n, b in enumerate(backbones)]
        self.projection = nn.Linear(backbones[0].num_features, 8)
        self.queue = nn.Module()
        self.queue.register_buffer("keys", torch.zeros(64, 8))
        return members

    def fit(self, context, members):
        second = context.augment.config.model_copy(update={{"policy": "rand", "erasing": 0.5}})
        keep = {{"projection": self.projection, "queue": self.queue}}
        context.train(members, optim=self.config.optim, objective=self.objective, keep=keep,
                      views=[context.augment.config, second])

    def objective(self, step):
        one, other = (F.normalize(self.projection(o["m0"].features), dim=1) for o in step.view_outputs)
        noise = step.draws.uniform(-1).to(one.device)
        against = one @ self.queue.keys.T
        loss = step.loss_of(F.cross_entropy)
        self.queue.keys = torch.cat([step.gather(other), self.queue.keys])[:64].clone()
        same = (1 - (one * other).sum(dim=1)).mean()
        return {{"loss": loss + 0.5 * same + 0.3 * against.square().mean() * (1 + noise.mean()), "same": same}}

class Climbing(Contrasted):
    def fit(self, context, members):
        context.train(members[0], optim=self.config.optim, update=self.update)

    def update(self, step, optimizer):
        parameters = [p for g in optimizer.param_groups for p in g["params"]]
        optimizer.zero_grad()
        loss = F.cross_entropy(step.outputs["m0"].logits, step.targets)
        step.backward(loss)
        norm = torch.stack([p.grad.norm() for p in parameters]).norm()
        changes = [0.05 * p.grad / norm for p in parameters]
        with torch.no_grad():
            for p, change in zip(parameters, changes):
                p.add_(change)
        optimizer.zero_grad()
        step.backward(F.cross_entropy(step.forward(step.images)["m0"].logits, step.targets))
        with torch.no_grad():
            for p, change in zip(parameters, changes):
                p.sub_(change)
        optimizer.step()
        return loss
"""

OPTIM = {
    "epochs": 2,
    "batch_size": 39,
    "lr": 0.03,
    "clip_norm": 1.0,
    "ema": 0.9,
    "layer_decay": 0.8,
    "decay_norm_and_bias": False,
}
ADAMW = {"lr": 0.003, "optimizer": '"adamw"'}
"""Not for both: it divides noise by its size where a gradient is nought, as that of a key's bias in attention."""

METHODS = ("contrasted", "climbing")
MORE: dict[str, Any] = {
    "mixing": {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1},
    "contrasted": {"optim": OPTIM},
    "climbing": {"optim": OPTIM | ADAMW},
}


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_as_one_does(
    images: Path, tmp_path: Path, plugin_file: Callable[[str, str], Path], method: str
) -> None:
    plugin = plugin_file("trained_together", PLUGIN.format(module="trained_together"))
    shared = {key: value for key, value in SETTINGS.items() if key not in ("baseline", "prototype")}
    values = overrides(images, MORE)
    kept = tuple(f"{name}." for name in (*shared, "mixing", method, "dataset"))
    caches = []
    for processes in (1, 2):
        caches.append(tmp_path / str(processes))
        command = ["--plugin", plugin, "run", "-m", method, "-f", "soft", "--no-controls", "--num-processes", processes]
        done = in_subprocess([*command, *with_set([v for v in values if v.startswith(kept)]), "--json"], caches[-1])
        assert done.code == 0, done.err
        record = next(one for one in json.loads(done.out)["records"] if one["methods"] == [method])
        assert record["num_processes"] == processes
        assert "mixup=0.4" in record["track"]["augmentation"]
        assert "label_smoothing=0.1" in record["track"]["augmentation"]
    one, two = (losses(cache, method) for cache in caches)
    assert one.keys() == two.keys()
    for epoch, (loss, _) in one.items():
        assert two[epoch][0] == pytest.approx(loss, rel=2e-3), epoch
    folders = [read_logits(next(cache.glob(f"stages/{method}-*/logits"))) for cache in caches]
    assert_same_logits(*folders)


def test_settings_of_mixing_are_checked(ltb) -> None:
    done = ltb("run", "-m", "baseline", *settings(mixing={"mixupp": 0.2}), "--dry-run")
    assert done.code == 2
    assert "mixing.mixupp" in done.complaint
    assert "mixup" in done.complaint
