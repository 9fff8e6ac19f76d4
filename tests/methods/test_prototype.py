"""Prototype: its head and losses against the formulas written out, and what training does to its weights."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ltbench_datasets.glyphs import GlyphsLT, GlyphsOptions
from ltbench_methods.prototype import MemoryClassifier, ModulatedAttention, Prototype, class_means
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.create import create_backbone
from ltbench.config import RunConfig
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.run import Engine
from ltbench.errors import UsageError
from ltbench.results.stage import Stage
from ltbench.settings.recipes import resolve_config

CLASSES, FEATURES, BATCH = 7, 5, 6


def head_and_features(scale: float = 1.0, **switches: bool) -> tuple[MemoryClassifier, Tensor, Tensor]:
    """A head with random weights, features float[6, 5] and targets int64[6]."""
    torch.manual_seed(0)
    head = MemoryClassifier(FEATURES, CLASSES, **switches)
    head.start_from(nn.Linear(FEATURES, CLASSES), scale * torch.randn(CLASSES, FEATURES))
    return head, torch.randn(BATCH, FEATURES), torch.randint(CLASSES, (BATCH,))


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def logits_by_the_formulas(head: MemoryClassifier, features: Tensor) -> np.ndarray:
    p = {name: value.detach().double().numpy() for name, value in head.named_parameters()}
    centroids, rows = p["centroids"], []
    for v in features.double().numpy():
        distances = np.sqrt(((v[None, :] - centroids) ** 2).sum(axis=1))
        enhanced = v
        if head.memory:
            m = softmax(p["hallucinator.weight"] @ v + p["hallucinator.bias"]) @ centroids
            e = np.tanh(p["selector.weight"] @ v + p["selector.bias"])
            enhanced = v + e * m
        if head.reachability:
            enhanced = 10 / distances.min() * enhanced
        norm = np.linalg.norm(enhanced)
        squashed = norm / (1 + norm) * (enhanced / norm)
        rows.append([16 * squashed @ (w / np.linalg.norm(w)) for w in p["weight"]])
    return np.array(rows)


def centroid_loss_by_the_formulas(features: np.ndarray, centroids: np.ndarray, targets: np.ndarray) -> float:
    squared = ((features[:, None, :] - centroids[None, :, :]) ** 2).sum(axis=2)
    attract = repel = 0.0
    for row, target in enumerate(targets):
        attract += 0.5 * squared[row, target] / len(targets)
        others = [squared[row, c] for c in range(len(centroids)) if c != target]
        repel += np.mean(others) / len(targets)
    return attract + 0.01 * max(0.0, 10 - repel)


def numerical_gradient(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = 1e-5
        gradient[index] = (function(at + step) - function(at - step)) / 2e-5
    return gradient


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("reachability", [True, False])
def test_logits_are_those_of_the_formulas(memory: bool, reachability: bool) -> None:
    head, features, _ = head_and_features(memory=memory, reachability=reachability)
    np.testing.assert_allclose(head(features).detach(), logits_by_the_formulas(head, features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [0.1, 10.0], ids=["centroids within the margin", "centroids beyond it"])
def test_centroid_loss_and_its_gradients_are_those_of_the_formulas(scale: float) -> None:
    head, features, targets = head_and_features(scale)
    features.requires_grad_()
    loss = head.centroid_loss(features, targets)
    loss.backward()
    f, m, y = features.detach().double().numpy(), head.centroids.detach().double().numpy(), targets.numpy()
    assert loss.item() == pytest.approx(centroid_loss_by_the_formulas(f, m, y), rel=1e-5)
    by_feature = numerical_gradient(lambda at: centroid_loss_by_the_formulas(at, m, y), f)
    by_centroid = numerical_gradient(lambda at: centroid_loss_by_the_formulas(f, at, y), m)
    np.testing.assert_allclose(features.grad, by_feature, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(head.centroids.grad, by_centroid, rtol=1e-3, atol=1e-5)


def test_centroids_learn_from_the_centroid_loss_alone() -> None:
    head, features, targets = head_and_features()
    F.cross_entropy(head(features), targets).backward()
    assert head.centroids.grad is None
    assert all(value.grad is not None for name, value in head.named_parameters() if name != "centroids")


@pytest.mark.parametrize("feature", ["on a centroid", "zero"])
def test_logits_and_gradients_stay_finite(feature: str) -> None:
    head, features, targets = head_and_features()
    features[2] = head.centroids[3].detach() if feature == "on a centroid" else 0.0
    features.requires_grad_()
    logits = head(features)
    (F.cross_entropy(logits, targets) + head.centroid_loss(features, targets)).backward()
    assert logits.isfinite().all()
    for value in (features, *head.parameters()):
        assert value.grad is not None
        assert value.grad.isfinite().all()


def test_half_precision_around_the_head_changes_nothing() -> None:
    head, features, _ = head_and_features()
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(features)
    assert torch.equal(logits, head(features))


class LargestTensor(TorchDispatchMode):
    """Notes the most elements that any operation gives out."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.elements = max(self.elements, out.numel())
        return out


def test_no_tensor_has_an_entry_for_each_sample_class_and_feature() -> None:
    head, features, targets = MemoryClassifier(16, 40), torch.randn(32, 16), torch.arange(32)
    with LargestTensor() as largest:
        (F.cross_entropy(head(features), targets) + head.centroid_loss(features, targets)).backward()
    assert largest.elements == 32 * 40


def test_class_means() -> None:
    features, labels = torch.tensor([[1.0, 2], [3, 4], [5, 0]]), torch.tensor([2, 0, 2])
    assert class_means(features, labels, 4).tolist() == [[3, 4], [0, 0], [3, 1], [0, 0]]


def test_attention_is_that_of_the_formulas() -> None:
    torch.manual_seed(0)
    attention, maps = ModulatedAttention(4), torch.randn(2, 4, 3, 2)
    assert torch.equal(attention(maps), maps)
    nn.init.normal_(attention.out.weight)
    p = {name: value.detach().double().numpy() for name, value in attention.named_parameters()}
    expected = np.empty((2, 4, 6))
    for sample, f in enumerate(maps.double().flatten(2).numpy()):
        project = {n: p[f"{n}.weight"] @ f + p[f"{n}.bias"][:, None] for n in ("query", "key", "value", "score")}
        gate = softmax(project["score"][0])
        for i in range(6):
            affinity = softmax(np.array([project["query"][:, i] @ project["key"][:, j] for j in range(6)]))
            attended = p["out.weight"] @ sum(affinity[j] * project["value"][:, j] for j in range(6))
            expected[sample, :, i] = f[:, i] + gate[i] * attended
    np.testing.assert_allclose(attention(maps).detach().flatten(2), expected, rtol=1e-4, atol=1e-5)


GLYPHS = {"num_classes": 6, "max_count": 24, "min_count": 3, "val_per_class": 4, "test_per_class": 1, "size": 24}
BACKBONE = {"widths": [16, 16, 16, 16], "stem_kernel": 3, "stem_stride": 2, "max_pool": False}


def context(projection: int | None = None, backbone: Backbone | None = None) -> Any:
    """As much of a method's context as ``build`` needs."""
    made = backbone or create_backbone("resnet10", image_shape=(1, 24, 24), projection=projection, kwargs=BACKBONE)
    return SimpleNamespace(classes=range(6), new_backbone=lambda: made)


class NoMap(nn.Module):
    num_features = 4


@pytest.mark.parametrize(
    ("blocks", "where", "complaint"),
    [
        (1, {}, "learnable_blocks = 1 .* use 2 or more"),
        (2, {"projection": 8}, "learnable_blocks = 2 .* use 3 or more"),
        ("all", {"backbone": Backbone(NoMap())}, "a NoMap has no layer 'global_pool'"),
    ],
)
def test_attention_that_cannot_learn_is_refused(blocks: int | str, where: dict[str, Any], complaint: str) -> None:
    method = Prototype(Prototype.Config(attention=True, learnable_blocks=blocks))
    with pytest.raises(UsageError, match=complaint):
        method.build(context(**where))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for this module: the baseline is trained once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def trained(**prototype: Any) -> dict[str, Stage]:
    """The stages ``baseline`` and ``prototype`` of a run with these settings of prototype."""
    optim = {"epochs": prototype.pop("epochs", 2), "batch_size": prototype.pop("batch_size", 8)}
    config = RunConfig.model_validate(
        {
            "methods": ["prototype"],
            "dataset": {"name": "glyphs-lt", "options": GLYPHS},
            "backbone": {"name": "resnet10", "kwargs": BACKBONE},
            "settings": {
                "baseline": {"optim": {"epochs": 1, "batch_size": 16}},
                "prototype": {"optim": optim, "views": 2, **prototype},
            },
        }
    )
    engine = Engine(resolve_config(config), Reporter(quiet=True))
    for stage in engine.plan.stages:
        engine.ensure(stage)
    engine.infer()
    return {stage.method: stage for stage in engine.plan.stages}


def weights(stage: Stage, part: str) -> dict[str, Tensor]:
    """Stored weights of ``backbone`` or ``head``."""
    stored, prefix = load_file(stage.folder / "weights.safetensors"), f"all.{part}."
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def module_weights(stage: Stage) -> dict[str, Tensor]:
    return {name.removeprefix("all."): value for name, value in load_file(stage.folder / "weights.safetensors").items()}


def images(split: str) -> tuple[Tensor, Tensor]:
    """Images as the network sees them, and their labels."""
    data = GlyphsLT(GlyphsOptions(**GLYPHS))
    batch = data.split(split)
    return (batch.images.float() / 255 - data.mean[0]) / data.std[0], batch.labels


def test_memory_starts_from_the_class_means_and_the_baselines_classifier() -> None:
    stages = trained(epochs=0)
    backbone = context().new_backbone()
    backbone.load_state_dict(weights(stages["baseline"], "backbone"))
    inputs, labels = images("train")
    with torch.no_grad():
        features = backbone.eval()(inputs)
    head = weights(stages["prototype"], "head")
    means = torch.stack([features[labels == c].mean(dim=0) for c in range(6)])
    torch.testing.assert_close(head["centroids"], means, rtol=1e-4, atol=1e-5)
    for name, value in weights(stages["baseline"], "head").items():
        assert torch.equal(head[f"hallucinator.{name}"], value)


def test_training_moves_every_weight_of_the_head_and_leaves_the_backbone() -> None:
    before, stages = weights(trained(epochs=0)["prototype"], "head"), trained()
    after = weights(stages["prototype"], "head")
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    backbone = weights(stages["prototype"], "backbone")
    assert all(torch.equal(backbone[name], value) for name, value in weights(stages["baseline"], "backbone").items())


def test_centroids_stay_without_their_loss() -> None:
    before, after = trained(epochs=0)["prototype"], trained(centroid_weight=0)["prototype"]
    assert torch.equal(weights(before, "head")["centroids"], weights(after, "head")["centroids"])


def test_attention_learns_and_what_lies_below_it_stays() -> None:
    settings = {"attention": True, "learnable_blocks": 2}
    before = weights(trained(**settings, epochs=0)["prototype"], "backbone")
    stages = trained(**settings)
    after = weights(stages["prototype"], "backbone")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"trunk.global_pool.0.{name}" for name in ModulatedAttention(16).state_dict()}
    baseline = weights(stages["baseline"], "backbone")
    assert all(torch.equal(after[name], value) for name, value in baseline.items())


@pytest.mark.parametrize(
    "settings", [{}, {"attention": True, "learnable_blocks": "all"}], ids=["head alone", "attention"]
)
def test_built_again_with_the_stored_weights_it_answers_the_same(settings: dict[str, Any]) -> None:
    stage = trained(**settings)["prototype"]
    (member,) = Prototype(Prototype.Config(**settings)).build(context())
    member.module.load_state_dict(module_weights(stage))
    member.module.eval().to(memory_format=torch.channels_last)  # as the engine places it
    with torch.no_grad():
        logits = member.module(images("val")[0].contiguous(memory_format=torch.channels_last))
    assert torch.equal(logits, load_file(stage.folder / "logits" / "val.safetensors")["prototype/all"])


def test_training_twice_gives_the_same_weights(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = module_weights(trained()["prototype"])
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path))
    again = module_weights(trained()["prototype"])
    assert all(torch.equal(first[name], value) for name, value in again.items())


def test_batches_hold_whole_groups_of_a_class() -> None:
    with pytest.raises(UsageError, match="10 is no multiple of the 4 samples a class"):
        trained(batch_size=10)
