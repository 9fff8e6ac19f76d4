"""What is in the keys: the code of plugins, fusers, evaluations and backbones, versions, seeds."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import BASELINE, DATA, TINY, Outcome, settings
from torch import nn

from ltbench.backbones.backbone import Backbone
from ltbench.config import RunConfig
from ltbench.engine.evaluation import inference
from ltbench.engine.evaluation.inference import FeatureStore
from ltbench.engine.keys import keys
from ltbench.engine.workbench import make_feature_store
from ltbench.testing.method_contract import Patterns, workbench

MINE = """
from pathlib import Path
import sys
from ltbench.plugin import FuserSpec, MethodSpec, hookimpl
from ltbench.fuser import Fuser
from ltbench_methods.baseline import Baseline
sys.path.insert(0, str(Path(__file__).parent))
from my_own_helper import SCALE
sys.path.pop(0)

@hookimpl
def ltbench_methods():
    yield MethodSpec("mine", target="my_own_plugin:Mine", recipe="baseline")

@hookimpl
def ltbench_fusers():
    yield FuserSpec("cool", target="my_own_plugin:Cool")

class Mine(Baseline):
    def loss(self, logits, targets):
        return SCALE * super().loss(logits, targets)

class Other(Mine):
    pass

class Cool(Fuser):
    def fuse(self, members):
        return (members[0].logits * SCALE).log_softmax(dim=1)
"""

RUN_MINE = ["run", "--method", "mine", *DATA, *settings(mine=BASELINE), "--no-controls"]


@pytest.fixture
def mine(ltb: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Runs a plugin file, and a helper beside it, of the given texts, as a new process would."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = ("my_own_plugin", "my_own_helper")

    def forget() -> None:
        for name in names:
            sys.modules.pop(name, None)

    def call(arguments: Iterable[Any], plugin: str = MINE, helper: str = "SCALE = 1.0") -> Any:
        forget()
        for name, text in zip(names, (plugin, helper), strict=True):
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        done = ltb("--plugin", tmp_path / "my_own_plugin.py", *arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    yield call
    forget()


def test_a_plugin_file_and_its_helper_decide_the_key(mine: Callable[..., Any]) -> None:
    def key(**texts: str) -> str:
        (stage,) = mine([*RUN_MINE, "--dry-run"], **texts)["stages"]
        return stage["key"]

    first = key()
    counted = set(keys.code_of([sys.modules["my_own_plugin"].Mine]))
    assert {"my_own_plugin", "my_own_helper", "ltbench_methods.baseline", "ltbench.method"} <= counted
    assert key(plugin=MINE + "\n# a comment\n", helper='"""Words."""\nSCALE = 1.0  # a comment') == first
    assert key(plugin=MINE.replace('recipe="baseline"', 'recipe="baseline", summary="Mine."')) == first
    changed = [
        key(helper="SCALE = 2.0"),
        key(plugin=MINE.replace("SCALE *", "2 *")),
        key(plugin=MINE.replace("my_own_plugin:Mine", "my_own_plugin:Other")),
    ]
    assert len({first, *changed}) == 4


def test_the_code_of_a_fuser_decides_whether_a_posterior_is_measured_again(
    mine: Callable[..., Any], own_cache: Path
) -> None:
    def nll(**texts: str) -> float:
        done = mine(["run", "--method", "baseline", "--fuser", "cool", *TINY], **texts)
        (record,) = [record for record in done["records"] if record["fuser"] == "cool"]
        return record["calibration"]["nll"]

    first = nll()
    assert nll(plugin=MINE + "\n# a comment") == first
    assert abs(nll(helper="SCALE = 0.0") - math.log(9)) < 1e-3, "a uniform posterior over nine classes"
    assert abs(first - math.log(9)) > 1e-2


def test_the_code_of_the_evaluation_decides_whether_a_posterior_is_measured_again(
    ltb: Callable[..., Outcome], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> set[Path]:
        done = ltb("run", "--method", "baseline", *TINY)
        assert done.code == 0, done.err
        return set(own_cache.glob("evaluations/*.json"))

    first = kept()
    assert first
    assert kept() == first
    monkeypatch.setattr("ltbench.engine.keys.keys.EVALUATION", (*keys.EVALUATION, "ltbench.statistics.bootstrap"))
    assert len(kept()) == 2 * len(first)


def test_the_version_of_a_plugin_decides_the_key(ltb: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        done = ltb("run", "--method", "baseline", *TINY, "--dry-run", "--json")
        return json.loads(done.out)["stages"][0]["key"]

    first = key()
    monkeypatch.setattr("ltbench.registry.manager._loaded", None)
    monkeypatch.setattr("ltbench.registry.discovery._distribution", lambda entry: ("ltbench", "99.0"))
    assert key() != first


def small_store(folder: Path, seed: int = 0) -> tuple[FeatureStore, Any]:
    bench = workbench(folder)
    bench.features.seed = seed
    return bench.features, bench


def test_features_of_an_augmented_view_are_of_a_seed_those_of_the_plain_one_of_none(tmp_path: Path) -> None:
    (store, bench), (other, _) = small_store(tmp_path), small_store(tmp_path, seed=1)
    backbone = bench.new_backbone("baseline")
    for view in (0, 1, 2):
        same = torch.equal(store.get(backbone, "val", bench.val, view), other.get(backbone, "val", bench.val, view))
        assert same == (view == 0), view
    assert other.passes == 2, "the plain view is the other seed's"


def test_code_decides_the_key_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, bench = small_store(tmp_path)
    backbone = bench.new_backbone("baseline")
    store.get(backbone, "val", bench.val)
    again, _ = small_store(tmp_path)
    again.get(backbone, "val", bench.val)
    assert again.passes == 0
    monkeypatch.setattr(inference, "feature_code", lambda backbone: {"ltbench.engine.evaluation.inference": "another"})
    changed, _ = small_store(tmp_path)
    changed.get(backbone, "val", bench.val)
    assert changed.passes == 1


def test_the_code_of_the_dataset_decides_the_key_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = workbench(tmp_path)
    config = RunConfig(methods=("baseline",), backbone=bench.backbone)

    def passes() -> int:
        store = make_feature_store(tmp_path, config, Patterns(), bench.compute, bench.reporter)
        store.get(bench.new_backbone("baseline"), "val", bench.val)
        return store.passes

    assert [passes(), passes()] == [1, 0]
    monkeypatch.setattr("ltbench.engine.workbench.code_of", lambda roots: {f"{root.__module__}": "x" for root in roots})
    assert passes() == 1


class Doubled(Backbone):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(images)


def test_a_backbone_of_the_same_weights_and_another_structure_has_features_of_its_own(tmp_path: Path) -> None:
    store, bench = small_store(tmp_path)
    backbone = bench.new_backbone("baseline")
    plain = store.get(backbone, "val", bench.val)
    backbone.trunk.maxpool = nn.AvgPool2d(3, stride=2, padding=1)
    pooled = store.get(backbone, "val", bench.val)
    backbone.trunk.maxpool.kernel_size, backbone.trunk.maxpool.padding = 5, 2
    wider = store.get(backbone, "val", bench.val)
    alike = type("AvgPool2d", (nn.AvgPool2d,), {"forward": lambda self, x: 3 * x, "__module__": "torch.of.another"})
    backbone.trunk.maxpool.__class__ = alike
    named_alike = store.get(backbone, "val", bench.val)
    backbone.trunk.maxpool.__class__ = nn.AvgPool2d
    backbone.__class__ = Doubled
    doubled = store.get(backbone, "val", bench.val)
    assert not torch.equal(pooled, plain)
    assert not torch.equal(wider, pooled)
    assert not torch.equal(named_alike, wider)
    torch.testing.assert_close(doubled, 2 * wider)


def test_the_code_of_a_backbones_own_modules_counts() -> None:
    backbone = SimpleNamespace(modules=lambda: [Doubled.__new__(Doubled), nn.ReLU()])
    found = set(keys.feature_code(backbone))  # type: ignore[arg-type]
    assert Doubled.__module__ in found
    assert not {name for name in found if name.startswith(("torch", "timm"))}
