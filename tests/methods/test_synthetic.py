"""Feature augmentation: how much is added to which class, what the two controls add, and the figure."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ltbench_methods.feature_figure import draw_features
from ltbench_methods.gaussian import Gaussian, pooled_gaussian
from ltbench_methods.resampled import Resampled
from ltbench_methods.synthetic import SyntheticFeatures
from matplotlib.image import imread
from safetensors.torch import load_file
from tiny import TINY, Outcome, settings
from torch import Tensor

from ltbench.errors import UsageError
from ltbench.testing import FakeContext

from .drawn import long_tailed, on_features

COUNTS = [120, 60, 30, 12, 3]
"""Many, medium, medium, few, few."""

GENERATIVE = {"hidden": 16, "steps": 2, "batch_size": 16, "critic_steps": 1}


def augmented(method: SyntheticFeatures, counts: list[int], views: int = 1) -> tuple[FakeContext, Tensor, Tensor]:
    """The context after fitting on features of such classes, and the features and labels that were added."""
    features, labels = long_tailed(counts, views=views)
    context = on_features(features, labels)
    method.fit(context, method.build(context))
    found, targets = context.trained[-1]["features"], context.trained[-1]["labels"]
    assert torch.equal(found[:, : len(labels)], features)
    assert torch.equal(targets[: len(labels)], labels)
    return context, found[:, len(labels) :], targets[len(labels) :]


@pytest.mark.parametrize("method", [Resampled, Gaussian])
def test_medium_and_few_shot_classes_are_filled_up_to_the_target(method: type[SyntheticFeatures]) -> None:
    context, _, added = augmented(method(method.Config(target=50)), COUNTS)
    assert torch.bincount(added, minlength=5).tolist() == [0, 0, 20, 38, 47]
    assert context.logged[0] == {"real": 225, "synthetic": 105}


def test_an_epoch_passes_once_over_real_and_synthetic_samples() -> None:
    context, _, added = augmented(Resampled(Resampled.Config(target=50)), COUNTS)
    order = context.trained[-1]["sampler"].indices(0, torch.Generator())
    assert sorted(order.tolist()) == list(range(225 + len(added)))


def test_a_class_without_images_stays_empty() -> None:
    _, _, added = augmented(Gaussian(Gaussian.Config(target=50)), [120, 30, 0, 3])
    assert torch.bincount(added, minlength=4).tolist() == [0, 20, 0, 47]


def test_a_target_that_adds_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="target = 3: every Medium- and Few-shot class has as many"):
        augmented(Resampled(Resampled.Config(target=3)), COUNTS)


def test_resampled_features_are_real_ones_of_their_class_in_every_view() -> None:
    context, synthetic, added = augmented(Resampled(Resampled.Config(target=400, views=2)), COUNTS, views=2)
    real, labels = context.trained[-1]["features"][:, :225], context.train_split.labels
    # One row for each image: its features in both views.
    rows = {tuple(row.flatten().tolist()): int(label) for row, label in zip(real.transpose(0, 1), labels, strict=True)}
    drawn = [tuple(row.flatten().tolist()) for row in synthetic.transpose(0, 1)]
    assert [rows.get(row) for row in drawn] == added.tolist()
    # 397 draws from 3 images leave none out.
    assert len({row for row, label in zip(drawn, added.tolist(), strict=True) if label == 4}) == 3


def test_pooled_gaussian_is_that_of_numpy() -> None:
    features, labels = long_tailed(COUNTS, views=2)
    means, covariance = pooled_gaussian(features, labels, 5)
    stacked, repeated = features.double().numpy().reshape(-1, 3), np.tile(labels.numpy(), 2)
    of_class = [stacked[repeated == c] for c in range(5)]
    np.testing.assert_allclose(means, [rows.mean(axis=0) for rows in of_class], atol=1e-5)
    pooled = sum(len(rows) * np.cov(rows.T, bias=True) for rows in of_class) / len(stacked)
    np.testing.assert_allclose(covariance, pooled, atol=1e-5)


def test_gaussian_features_have_the_class_mean_and_the_pooled_covariance() -> None:
    context, synthetic, added = augmented(Gaussian(Gaussian.Config(target=20_000)), COUNTS)
    means, covariance = pooled_gaussian(context.trained[-1]["features"][:, :225], context.train_split.labels, 5)
    for label in (1, 4):
        rows = synthetic[0][added == label]
        torch.testing.assert_close(rows.mean(dim=0), means[label], atol=0.04, rtol=0)
        torch.testing.assert_close(rows.T.cov(), covariance, atol=0.06, rtol=0)


def test_gaussian_takes_units_that_never_fire() -> None:
    features, labels = long_tailed(COUNTS)
    features[..., 1] = 0
    context, method = on_features(features, labels), Gaussian()
    method.fit(context, method.build(context))
    assert context.trained[-1]["features"][..., 1].abs().max() < 1e-5


@pytest.mark.parametrize("counts", [[120, 60, 30, 12, 8, 5, 4, 3], [120, 1]], ids=["many classes", "one image"])
def test_the_figure_is_drawn(tmp_path: Path, counts: list[int]) -> None:
    features, labels = long_tailed(counts)
    names = ["$"] * len(counts)  # a name, not the start of a formula
    rare = torch.arange(1, len(counts))
    draw_features(tmp_path / "features.png", features[0], labels, torch.zeros(len(rare), 3), rare, names)
    pixels = imread(tmp_path / "features.png")
    assert pixels.shape[0] > 200 and pixels.shape[1] > 200
    assert pixels.min() < pixels.max()


SMALL = {"views": 2, "target": 60, "optim": {"epochs": 2, "batch_size": 64}}


def test_controls_stand_beside_gan_with_its_settings(ltb: Callable[..., Outcome]) -> None:
    done = ltb("run", "--method", "gan", *TINY, *settings(gan=SMALL | {"generative": GENERATIVE}), "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    roles = {tuple(record["methods"]): record["role"] for record in answer["records"] if record["fuser"] == "none"}
    wanted = {"gan": "run", "baseline": "reference", "resampled": "control", "gaussian": "control"}
    assert roles == {(name,): role for name, role in wanted.items()}
    stages = {stage["method"]: Path(stage["folder"]) for stage in answer["stages"]}
    baseline = load_file(stages["baseline"] / "weights.safetensors")
    counts = answer["records"][0]["dataset"]["train_counts"]
    for name in ("gan", "resampled", "gaussian"):
        assert answer["config"]["settings"][name]["target"] == 60
        assert answer["config"]["settings"][name]["optim"] == answer["config"]["settings"]["gan"]["optim"]
        lines = [json.loads(line) for line in (stages[name] / "log.jsonl").read_text().splitlines()]
        assert {"real": sum(counts), "synthetic": sum(60 - n for n in counts if n < 60)} in lines
        assert imread(Path(answer["folder"]) / "artifacts" / name / "features.png").size
        stored = load_file(stages[name] / "weights.safetensors")
        assert all(torch.equal(stored[key], value) for key, value in baseline.items() if ".backbone." in key)
    sources = [json.loads(line) for line in (stages["gan"] / "log.jsonl").read_text().splitlines()]
    assert {"class_embeddings": "the baseline's classifier weights", "width": 32} in sources
