"""What trainings do to images on a method's own account is in its stage, its records and their track."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import DATA, Outcome, settings
from torch import nn

from ltbench.data.augmentation.augment_config import AugmentConfig, MixConfig, in_words
from ltbench.engine.context import StageContext
from ltbench.method import Member
from ltbench.report.leaderboard import boards
from ltbench.results.store import load
from ltbench.testing.method_contract import workbench
from ltbench.training.optim import OptimConfig

Ltb = Callable[..., Outcome]

OWN = '''
import torch

from ltbench.data.augmentation.augment_config import AugmentConfig, MixConfig
from ltbench.method import OneClassifier
from ltbench.plugin import MethodSpec, hookimpl


class Same(OneClassifier):
    """Asks for what the run has."""

    def mixing(self):
        return MixConfig()


class Mixed(OneClassifier):
    def mixing(self):
        return MixConfig(mixup=0.4)


class Strong(OneClassifier):
    def views(self):
        return [self.context.augment.config.model_copy(update={"policy": "rand"})]


class Second(OneClassifier):
    """On features of a stage that was trained with mixup."""

    def start(self, member):
        (first,) = self.context.stage("mixed")
        member.module.load_state_dict(first.module.state_dict())

    def training(self):
        member_features = self.context.features(self.context.stage("mixed")[0].backbone, "train")
        return {**super().training(), "features": member_features, "views": 1}


class Looped(OneClassifier):
    """Its own loop, on batches of strong views."""

    def start(self, member):
        strong = self.context.augment.config.model_copy(update={"cutout": 4})
        optimizer = torch.optim.SGD(member.module.parameters(), lr=0.01)
        for part in self.context.rounds("loop", 2, {"model": member.module}):
            for batch in self.context.batches(part.number, batch_size=64, views=[strong]):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(member.module(batch.views[0]), batch.targets).backward()
                optimizer.step()
            part.log({})


@hookimpl
def ltbench_methods():
    for name in ("Same", "Mixed", "Strong", "Looped"):
        yield MethodSpec(name.lower(), target=f"own_images:{name}", recipe="baseline")
    yield MethodSpec("second", target="own_images:Second", requires=("mixed",), recipe="baseline")
'''

NAMES = ("same", "mixed", "strong", "second", "looped")
SHORT = {"optim": {"epochs": 1, "batch_size": 64, "lr": 0.05}}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "own_images.py"
    path.write_text(OWN)
    return path


def records(ltb: Ltb, plugin: Path, method: str, *more: str) -> list[dict[str, Any]]:
    sections = dict.fromkeys({method, "mixed"} if method == "second" else {method}, SHORT)
    done = ltb("--plugin", plugin, "run", "-m", method, *DATA, *settings(**sections), "--json", *more)
    assert done.code == 0, done.err
    return json.loads(done.out)["records"]


def of_run(ltb: Ltb, plugin: Path, method: str, *more: str) -> dict[str, Any]:
    return next(record for record in records(ltb, plugin, method, *more) if record["methods"] == [method])


def test_a_method_s_own_augmentation_makes_a_track_of_its_own(
    ltb: Ltb, plugin: Path, own_cache: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    kept = ["--results", str(results)]
    found = {name: of_run(ltb, plugin, name, *kept)["track"]["augmentation"] for name in NAMES}
    assert found == {
        "same": "shift=2",
        "mixed": "mixup=0.4, shift=2",
        "strong": "policy=rand, shift=2",
        "second": "mixup=0.4, shift=2; shift=2",
        "looped": "cutout=4, shift=2; shift=2",
    }
    by_settings = of_run(ltb, plugin, "baseline", "--set", "mixing.mixup=0.4", *kept)["track"]["augmentation"]
    assert by_settings == found["mixed"], "who asks for it makes no difference"
    against = of_run(ltb, plugin, "same", "--set", "mixing.mixup=0.4", *kept)["track"]["augmentation"]
    assert against == found["same"], "what a method asks for, replaces the run's"
    ranked: dict[str, set[str]] = {}
    for board in boards(load(results).records):
        named = ranked.setdefault(board.protocol.track.augmentation, set())
        named |= {"+".join(row.methods) for row in board.rows}
    assert ranked == {
        "shift=2": {"baseline", "same"},
        "mixup=0.4, shift=2": {"baseline", "mixed"},
        "policy=rand, shift=2": {"strong"},
        "mixup=0.4, shift=2; shift=2": {"second"},
        "cutout=4, shift=2; shift=2": {"looped"},
    }
    done = ltb("--plugin", plugin, "verify", results, "--strict")
    assert done.code == 0, done.out + done.err


def context(folder: Path) -> StageContext:
    return StageContext("toy", workbench(folder.parent), folder, {})


def test_a_run_that_goes_on_knows_what_was_done_before_it_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "toy.partial"
    strong = AugmentConfig(shift=1, policy="rand")
    first = context(folder)
    first.batches(0, batch_size=64, views=[AugmentConfig(shift=1), strong])
    again = context(folder)
    assert again.augmentations == ["policy=rand, shift=1", "shift=1"]
    again.batches(1, batch_size=64)
    assert again.augmentations == ["policy=rand, shift=1", "shift=1"]


def test_where_it_is_damaged_the_trainings_start_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "toy.partial"
    context(folder).batches(0, batch_size=64, views=[AugmentConfig(policy="rand")])
    (folder / "checkpoint" / "all.safetensors").write_bytes(b"of the training")
    path = folder / "checkpoint" / "augmentation.json"
    path.write_text(path.read_text().replace("rand", "none"))
    assert context(folder).augmentations == []
    assert not (folder / "checkpoint").exists()
    assert "augmentation.json is damaged: cut short or changed since it was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["mixup=0.3, shift=1"]),
        ({"mixing": MixConfig(cutmix=1.0)}, ["cutmix=1.0, shift=1"]),
        ({"views": 2}, ["mixup=0.3, shift=1"]),
        ({"views": [AugmentConfig(flip=True)]}, ["flip=True, mixup=0.3"]),
        ({"features": torch.zeros(1, 318, 32)}, ["mixup=0.3, shift=1"]),
        ({"features": torch.zeros(1, 318, 32), "mixing": MixConfig(mixup=1.0)}, ["mixup=1.0, shift=1"]),
        ({"optim": OptimConfig(epochs=0)}, []),
    ],
)
def test_what_a_training_counts_as(tmp_path: Path, asked: dict[str, Any], expected: list[str]) -> None:
    """What is not asked for counts as the run's."""
    bench = replace(workbench(tmp_path), mixing=MixConfig(mixup=0.3))
    own = StageContext("toy", bench, tmp_path / "toy.partial", {})
    (tmp_path / "toy.partial").mkdir()
    one = Member("all", torch.arange(6), own.new_backbone(), nn.Linear(32, 6))
    own.train(one, **{"optim": OptimConfig(epochs=1, batch_size=64), **asked})
    assert own.augmentations == expected


def test_words_name_what_is_not_at_its_default() -> None:
    assert in_words(AugmentConfig(), MixConfig()) == "none"
    words = in_words(AugmentConfig(policy="rand", crop_scale=(0.1, 1.0)), MixConfig(mixup=0.2, label_smoothing=0.1))
    assert words == "crop_scale=[0.1, 1.0], label_smoothing=0.1, mixup=0.2, policy=rand"
