"""The recipes of ImageNet-LT and Places-LT: they hold the published numbers, and they run as they are, only smaller."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data.benchmark_trees import COUNTS, TEST, VAL, draw
from ltbench_datasets.published.facts import known_counts
from tiny import WIDTHS, settings

from ltbench.settings.layers import leaves
from ltbench.settings.recipes import Resolved, resolve

OLTR_AUGMENTATION = {
    "augment.crop_scale": [0.08, 1.0],
    "augment.crop_ratio": [3 / 4, 4 / 3],
    "augment.flip": True,
    "augment.color_jitter": [0.4, 0.4, 0.4, 0.0],
    "augment.size": 224,
}


def sgd(section: str, **values: Any) -> dict[str, Any]:
    values = {"momentum": 0.9, "nesterov": False, "weight_decay": 5e-4, "warmup": 0.0, **values}
    return {f"{section}.optim.{name}": value for name, value in values.items()}


PUBLISHED: dict[tuple[str, str], dict[str, Any]] = {
    ("imagenet-lt", "baseline"): {
        **OLTR_AUGMENTATION,
        "backbone.name": "resnet10",
        "backbone.pretrained": False,
        "backbone.projection": 512,
        **sgd("baseline", epochs=100, batch_size=512, lr=0.2, schedule="cosine", patience=0),
    },
    ("imagenet-lt", "experts"): {
        "fusers": ["kl", "soft", "selection", "stacking", "joint"],
        "experts.partition": "folds",
        "experts.ood": "reject",
        "experts.reject_ratio": 16,
        "experts.redraw": False,
        "experts.head_init": "new",
        "experts.learnable_blocks": 3,
        "experts.subset.many.learnable_blocks": "all",
        "experts.subset.few.learnable_blocks": 1,
        **sgd("experts", batch_size=256, lr=0.1, schedule="step", step_epochs=10, step_gamma=0.1, patience=15),
        "experts.subset.few.optim.schedule": "cosine",
        "experts.subset.few.optim.epochs": 60,
    },
    ("imagenet-lt", "uniform"): sgd("uniform", epochs=10, batch_size=512, lr=0.2, schedule="cosine"),
    ("imagenet-lt", "gan"): {
        "gan.generative.hidden": 4096,
        "gan.generative.lr": 1e-4,
        "gan.generative.critic_steps": 5,
        "gan.generative.penalty": 10,
        "gan.generative.unlabelled_weight": 0,
    },
    ("imagenet-lt", "prototype"): {
        "prototype.learnable_blocks": "all",
        "prototype.attention": True,
        "prototype.samples_per_class": 4,
        "prototype.backbone_lr": 0.01,
        "prototype.centroid_lr": 0.01,
        "prototype.centroid_weight": 0.01,
        **sgd("prototype", epochs=60, batch_size=256, lr=0.1, schedule="step", step_epochs=20, step_gamma=0.1),
    },
    ("places-lt", "baseline"): {
        **OLTR_AUGMENTATION,
        "backbone.name": "resnet152.tv_in1k",
        "backbone.pretrained": True,
        "backbone.projection": 512,
        **sgd("baseline", epochs=30, batch_size=64, lr=0.01, schedule="step", step_epochs=10, step_gamma=0.1),
    },
    ("places-lt", "experts"): {
        "fusers": ["kl", "soft", "selection", "stacking", "joint"],
        "experts.partition": "folds",
        "experts.ood": "reject",
        "experts.reject_ratio": 8,
        "experts.subset.many.reject_ratio": 16,
        "experts.redraw": False,
        "experts.head_init": "new",
        "experts.learnable_blocks": 3,
        "experts.subset.many.learnable_blocks": "all",
        **sgd("experts", batch_size=32, lr=0.01, schedule="step", step_epochs=10, step_gamma=0.1, patience=15),
    },
    ("places-lt", "uniform"): sgd("uniform", epochs=10, batch_size=256, lr=0.1, schedule="cosine"),
    ("places-lt", "gan"): {
        "gan.generative.hidden": 4096,
        "gan.generative.lr": 1e-4,
        "gan.generative.critic_steps": 5,
        "gan.generative.penalty": 10,
        "gan.generative.unlabelled_weight": 0,
    },
    ("places-lt", "prototype"): {
        "prototype.learnable_blocks": 3,
        "prototype.attention": True,
        "prototype.samples_per_class": 4,
        "prototype.backbone_lr": 1e-4,
        "prototype.centroid_lr": 0.01,
        "prototype.centroid_weight": 0.01,
        **sgd("prototype", epochs=30, batch_size=128, lr=0.01, schedule="step", step_epochs=10, step_gamma=0.1),
    },
}
"""What the paper, its authors' code, and the papers it refers to say (docs/protocol.md names them)."""

CASES = pytest.mark.parametrize(("dataset", "method"), PUBLISHED, ids=lambda name: name)


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, as the settings stand in a file; without empty tables."""
    values = {key: value for key, value in {**config, **config["settings"]}.items() if key != "settings"}
    return {".".join(path): value for path, value in leaves(values) if value != {}}


def settings_of(found: Resolved) -> dict[str, Any]:
    return flat(found.config.model_dump(mode="json"))


@CASES
def test_a_recipe_holds_the_published_numbers(dataset: str, method: str) -> None:
    found = resolve(methods=[method], dataset=dataset)
    values = settings_of(found)
    published = PUBLISHED[dataset, method]
    assert {key: values[key] for key in published} == published
    assert {found.sources[key] for key in published} <= {f"recipe {method}.toml", "default"}
    assert found.sources["baseline.optim.lr"] == "recipe baseline.toml"
    assert found.config.compute.precision == "auto"


@CASES
def test_no_plateau_ends_a_training_before_its_learning_rate_has_dropped(dataset: str, method: str) -> None:
    config = resolve(methods=[method], dataset=dataset).method_configs[method]
    optims = [config.optim_of(name) for name in ("many", "medium", "few")] if method == "experts" else [config.optim]
    for optim in optims:
        assert optim.schedule != "step" or not optim.patience or optim.patience > optim.step_epochs


@pytest.mark.parametrize("dataset", ["imagenet-lt", "places-lt"])
def test_synthetic_features_fill_classes_up_to_the_average_many_shot_class(dataset: str) -> None:
    counts = known_counts(dataset).by_split["train"]
    assert resolve(methods=["gan"], dataset=dataset).method_configs["gan"].target == round(counts[counts >= 100].mean())


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: draw(name, tmp_path_factory.mktemp(name)) for name in ("imagenet-lt", "places-lt")}


SIZE = 32

SMALLER: dict[str, dict[str, Any]] = {
    "imagenet-lt": {"backbone": {"kwargs": {"widths": WIDTHS}}},
    "places-lt": {"backbone": {"pretrained": False, "kwargs": {"layers": [1, 1, 1, 1], "channels": WIDTHS}}},
}
"""Than the recipe's network."""

TRACKS = {
    name: {
        "backbone": backbone,
        "pretraining": "none",
        "epochs": 2,
        "augmentation": "color_jitter=[0.4, 0.4, 0.4, 0.0], crop_scale=[0.08, 1.0], flip=True, size=32",
        "resolution": SIZE,
    }
    for name, backbone in (
        ("imagenet-lt", "resnet10 (projection=512, widths=[16, 16, 32, 32])"),
        ("places-lt", "resnet152.tv_in1k (channels=[16, 16, 32, 32], layers=[1, 1, 1, 1], projection=512)"),
    )
}

SHORTER: dict[str, Any] = {
    "baseline": {"optim": {"epochs": 2}},
    "experts": {"optim": {"epochs": 2}, "subset": {"few": {"optim": {"epochs": 3}}}},
    "uniform": {"optim": {"epochs": 2}},
    "gan": {"optim": {"epochs": 2}, "generative": {"steps": 3, "hidden": 16}},
    "prototype": {"optim": {"epochs": 2}},
}
"""Than the recipe's trainings."""


def changes(dataset: str, method: str) -> dict[str, Any]:
    """All that differs from the recipes but for where the images are: network, size of the images, steps."""
    shorter = {name: SHORTER[name] for name in ("baseline", method)}
    return {**SMALLER[dataset], "augment": {"size": SIZE}, **shorter}


CONTROLS = {"gan": ("resampled", "gaussian")}
"""They take what is said of their method, as far as they have it."""


@CASES
def test_a_recipe_runs_on_a_tree_in_the_real_layout(
    ltb: Callable[..., Any], roots: dict[str, Path], dataset: str, method: str
) -> None:
    changed = changes(dataset, method)
    asked = settings(compute={"workers": 0}, **changed)
    done = ltb("run", "-m", method, "-d", dataset, "--data-root", roots[dataset], *asked, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)

    plain, used = settings_of(resolve(methods=[method], dataset=dataset)), flat(answer["config"])
    differing = {key for key in plain.keys() | used.keys() if plain.get(key) != used.get(key)}
    beside = {f"{control}.optim.epochs" for control in CONTROLS.get(method, ())}
    assert differing == {"dataset.root", "compute.workers", *beside, *flat({**changed, "settings": {}})}

    rows = {("+".join(record["methods"]), record["fuser"]) for record in answer["records"]}
    assert rows >= {(method, fuser) for fuser in answer["config"]["fusers"] or ["none"]}
    for record in answer["records"]:
        about = record["dataset"]
        assert about["train_counts"] == list(COUNTS)
        assert (about["val"], about["test"]) == (VAL * len(COUNTS), TEST * len(COUNTS))
        assert record["selection"] == {"split": "val", "criterion": "accuracy"}
        images = {"storage": "", "test_views": "centre", "transductive": False}
        assert record["track"] == {**TRACKS[dataset], **images, "precision": record["environment"]["precision"]}
        assert all(0 <= record["metrics"]["paper"][fold] <= 100 for fold in ("many", "medium", "few", "all"))
    for stage in answer["stages"]:
        check_selection(Path(stage["folder"]))


def check_selection(stage: Path) -> None:
    """Every member has the weights of the first of its epochs with the best validation accuracy."""
    lines = [json.loads(line) for line in (stage / "log.jsonl").read_text().splitlines()]
    chosen = [line for line in lines if "best_epoch" in line]
    assert chosen
    for line in chosen:
        accuracy = [
            epoch["val_accuracy"] for epoch in lines if epoch.get("member") == line["member"] and "epoch" in epoch
        ]
        assert line["best_accuracy"] == max(accuracy)
        assert line["best_epoch"] == 1 + accuracy.index(max(accuracy))
