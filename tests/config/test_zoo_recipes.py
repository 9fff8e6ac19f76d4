"""The zoo's recipes on published datasets hold the numbers of the authors' code, on the baseline's network and epochs."""

from pathlib import Path
from typing import Any

import ltbench_zoo
import pytest

from ltbench.settings.recipes import resolve

from .test_benchmark_recipes import settings_of, sgd

DATASETS = ("imagenet-lt", "places-lt", "cifar10-lt", "cifar100-lt", "inaturalist2018", "fashion-mnist-lt")

EPOCHS = {"imagenet-lt": 100, "places-lt": 30, "cifar10-lt": 200, "cifar100-lt": 200, "inaturalist2018": 90}
"""Of the baseline, and so of each method whose network learns."""


def table(name: str, **values: Any) -> dict[str, Any]:
    return {f"{name}.{key}": value for key, value in values.items()}


KANG_IMAGENET = {"batch_size": 512, "lr": 0.2, "weight_decay": 5e-4, "schedule": "cosine"}
KANG_PLACES = {"batch_size": 256, "lr": 0.1, "weight_decay": 5e-4, "schedule": "cosine"}
"""github.com/facebookresearch/classifier-balancing, config/ImageNet_LT and config/Places_LT, cls_crt.yaml and cls_lws.yaml."""

ZHONG = {"batch_size": 256, "lr": 0.1, "weight_decay": 5e-4, "schedule": "cosine"}
"""github.com/dvlab-research/MiSLAS, config/imagenet and config/places."""

CUSTOM_LR = {"schedule": "step", "warmup_epochs": 5, "nesterov": True}
"""CustomLR of RIDE, SADE and BalPoE: two drops after a rise over five epochs."""

CIFAR = {**CUSTOM_LR, "epochs": 200, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4, "milestones": [160, 180]}
"""RIDE's, SADE's and BalPoE's JSON files for CIFAR."""

INAT = {"epochs": 90, "batch_size": 512, "lr": 0.2, "weight_decay": 2e-4}
INAT_STEPS = {**CUSTOM_LR, **INAT, "milestones": [0.6 * 90, 0.8 * 90], "step_gamma": 0.1}
"""The same for iNaturalist, where drops after 60 and 80 of 100 epochs are theirs."""

LIFT = {
    "augment.crop_scale": [0.08, 1.0],
    "augment.flip": True,
    "augment.color_jitter": [0.0, 0.0, 0.0, 0.0],
    "backbone.name": "vit_base_patch16_224.augreg_in21k",
    "backbone.pretrained": True,
    "backbone.projection": None,
    **table("lift", head="class-mean", scale=25.0, width=None),
}
"""github.com/shijxcs/LIFT, configs/model/in21k_vit_b16.yaml, utils/config.py and trainer.py."""

LIFT_OPTIM = {"batch_size": 128, "lr": 0.01, "weight_decay": 5e-4, "schedule": "cosine"}

PUBLISHED: dict[tuple[str, str], dict[str, Any]] = {
    ("imagenet-lt", "crt"): {**sgd("crt", epochs=10, **KANG_IMAGENET), "crt.samples_per_class": 4},
    ("imagenet-lt", "lws"): {**sgd("lws", epochs=5, **KANG_IMAGENET), "lws.samples_per_class": 4},
    ("places-lt", "crt"): {**sgd("crt", epochs=10, **KANG_PLACES), "crt.samples_per_class": 4},
    ("places-lt", "lws"): {**sgd("lws", epochs=5, **KANG_PLACES), "lws.samples_per_class": 4},
    **{(name, "tau-norm"): {"tau-norm.tau": "val"} for name in ("imagenet-lt", "places-lt")},
    ("imagenet-lt", "mixup"): {**sgd("mixup", epochs=100, **ZHONG), "mixup.alpha": 0.2},
    ("places-lt", "mixup"): {"mixup.alpha": 0.2},
    ("imagenet-lt", "mislas"): {
        **sgd("mislas", epochs=10, **ZHONG),
        **table("mislas", smooth_head=0.3, smooth_tail=0.0, statistics_epochs=1, samples_per_class=4),
    },
    ("places-lt", "mislas"): {
        **sgd("mislas", epochs=10, **ZHONG),
        **table("mislas", smooth_head=0.4, smooth_tail=0.1, statistics_epochs=1, samples_per_class=4),
    },
    ("imagenet-lt", "balanced-softmax"): sgd("balanced-softmax", epochs=100, **KANG_IMAGENET),
    **{
        (name, "logit-adjusted"): {
            **sgd("logit-adjusted", epochs=200, batch_size=128, lr=0.1, nesterov=True, weight_decay=1e-4),
            "logit-adjusted.tau": 1,
            "logit-adjusted.optim.warmup": 0,
        }
        for name in ("cifar10-lt", "cifar100-lt")
    },
    ("imagenet-lt", "fslwf"): {
        **sgd("fslwf", epochs=100, batch_size=400, lr=0.1, nesterov=True, schedule="step", milestones=[30, 60, 90]),
        **table("fslwf", exemplars=5, scale=10, attention_scale=30),
        **table("fslwf.episodes", epochs=6, lr=0.01, weight_decay=5e-4, nesterov=True, milestones=[4], step_gamma=0.1),
        "fslwf.episodes.batch_size": 2 * 250 * 8,
    },
    ("cifar100-lt", "weight-balancing"): {
        **table("weight-balancing", weight_decay=5e-3, threshold=0.1, beta=0.9999),
        **table("weight-balancing.optim", epochs=200, batch_size=64, lr=0.01, schedule="cosine", warmup_epochs=0),
        **table("weight-balancing.classifier", epochs=10, batch_size=64, lr=0.01, weight_decay=0.1, schedule="cosine"),
    },
    ("imagenet-lt", "ride"): {
        **table(
            "ride", experts=3, diversity=-0.2, reweight_factor=0.02, max_margin=0.5, scale=30, defer=0.8, own_blocks=3
        ),
        **sgd(
            "ride",
            **CUSTOM_LR,
            epochs=100,
            batch_size=256,
            lr=0.1,
            weight_decay=2e-4,
            milestones=[60, 80],
            step_gamma=0.1,
        ),
    },
    ("cifar100-lt", "ride"): {
        **table(
            "ride", experts=3, diversity=-0.45, reweight_factor=0.05, max_margin=0.5, scale=30, defer=0.8, own_blocks=2
        ),
        **sgd("ride", **CIFAR, step_gamma=0.01),
    },
    ("inaturalist2018", "ride"): {
        **table(
            "ride", experts=3, diversity=-0.2, reweight_factor=0.015, max_margin=0.5, scale=30, defer=0.8, own_blocks=2
        ),
        **sgd("ride", **INAT_STEPS),
    },
    ("imagenet-lt", "sade"): {
        **table("sade", tau=2, scale=30, own_blocks=3),
        **sgd("sade", epochs=100, batch_size=512, lr=0.025 * 8, nesterov=True, schedule="cosine"),
    },
    ("places-lt", "sade"): {
        **table("sade", tau=1, scale=30, own_blocks=3),
        **sgd("sade", epochs=30, batch_size=128, lr=0.01, nesterov=True, weight_decay=4e-4, milestones=[10, 20]),
    },
    ("cifar100-lt", "sade"): {**table("sade", tau=2, scale=30, own_blocks=2), **sgd("sade", **CIFAR, step_gamma=0.1)},
    ("inaturalist2018", "sade"): {**table("sade", tau=1, scale=30, own_blocks=2), **sgd("sade", **INAT_STEPS)},
    ("imagenet-lt", "balpoe"): {
        **table("balpoe", taus=[0, 1.25, 2.5], alpha=0.3, scale=30, own_blocks=3),
        **sgd("balpoe", epochs=100, batch_size=512, lr=0.025 * 8, nesterov=True, schedule="cosine"),
    },
    **{
        (name, "balpoe"): {
            **table("balpoe", taus=[0, 1, 2], alpha=alpha, scale=30, own_blocks=2),
            **sgd("balpoe", **CIFAR, step_gamma=0.1),
        }
        for name, alpha in (("cifar10-lt", 0.8), ("cifar100-lt", 0.4))
    },
    ("inaturalist2018", "balpoe"): {
        **table("balpoe", taus=[-1, 1, 3], alpha=0.2, scale=30, own_blocks=2),
        **sgd("balpoe", **INAT, nesterov=True, schedule="cosine", warmup_epochs=0),
    },
    ("imagenet-lt", "bcl"): {
        **table("bcl", weight=0.35, temperature=0.07, width=1024, scale=30, policy="rand"),
        **sgd("bcl", epochs=100, batch_size=512, lr=0.1 * 2, schedule="cosine"),
    },
    ("inaturalist2018", "bcl"): {
        **table("bcl", weight=0.35, temperature=0.07, width=1024, scale=30, policy="rand"),
        **sgd("bcl", epochs=90, batch_size=256, lr=0.2, weight_decay=1e-4, schedule="cosine"),
    },
    **{
        (name, "lift"): {**LIFT, "augment.size": 224, **sgd("lift", epochs=epochs, **LIFT_OPTIM)}
        for name, epochs in (("imagenet-lt", 10), ("places-lt", 10), ("inaturalist2018", 20))
    },
    ("cifar100-lt", "lift"): {**LIFT, "backbone.kwargs.img_size": 224, **sgd("lift", epochs=10, **LIFT_OPTIM)},
}
"""What the code of each method's authors says (docs/methods.md names what differs); beside it the baseline's epochs."""

CASES = pytest.mark.parametrize(("dataset", "method"), PUBLISHED, ids=lambda name: name)

SPECS = {spec.name: spec for spec in ltbench_zoo.ltbench_methods()}


@CASES
def test_a_recipe_holds_the_numbers_of_its_source(dataset: str, method: str) -> None:
    found = resolve(methods=[method], dataset=dataset)
    values, published = settings_of(found), PUBLISHED[dataset, method]
    assert {key: values[key] for key in published} == published
    assert {found.sources[key] for key in published} <= {f"recipe {method}.toml", "recipe baseline.toml", "default"}
    assert found.notes == []


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", [name for name in SPECS if name != "lift"])
def test_every_method_shares_the_baselines_network_and_epochs(dataset: str, method: str) -> None:
    """With a recipe of its own or without; lift has another network, and a table that says so."""
    ours, baseline = (resolve(methods=[name], dataset=dataset) for name in (method, "baseline"))
    assert (ours.config.backbone, ours.config.augment) == (baseline.config.backbone, baseline.config.augment)
    if SPECS[method].recipe and (dataset, method) != (
        "inaturalist2018",
        "mixup",
    ):  # theirs: 200, as Zhong et al. have it
        epochs = EPOCHS.get(dataset, baseline.method_configs["baseline"].optim.epochs)  # type: ignore[attr-defined]
        assert ours.method_configs[method].optim.epochs == epochs  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", [name for name in SPECS if name != "lift"])
def test_fashion_mnist_has_the_settings_of_glyphs(method: str) -> None:
    fashion, glyphs = (
        resolve(methods=[method], dataset=name).method_configs[method] for name in ("fashion-mnist-lt", "glyphs-lt")
    )
    different = {key for key, value in fashion if value != getattr(glyphs, key)}
    assert different <= ({"episodes"} if method == "fslwf" else set())


def test_every_recipe_of_the_zoo_has_its_case() -> None:
    """Those of CIFAR-LT and iNaturalist that are older stand in test_cifar_inaturalist_recipes.py."""
    from .test_cifar_inaturalist_recipes import PUBLISHED as OLDER

    configs = Path(__file__).parents[2] / "configs"
    names = [name for name in DATASETS if name != "fashion-mnist-lt"]
    files = {(name, file.stem) for name in names for file in (configs / name.replace("-", "_")).glob("*.toml")}
    assert {case for case in files if case[1] in SPECS} == PUBLISHED.keys() | {
        case for case in OLDER if case[1] in SPECS
    }
