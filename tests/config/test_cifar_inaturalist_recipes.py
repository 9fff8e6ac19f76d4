"""The recipes of CIFAR-LT and iNaturalist 2018: they hold the numbers of their sources, and they run, only smaller."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import tree
from tiny import WIDTHS, Outcome, settings

from ltbench.method import OneClassifier
from ltbench.settings.recipes import resolve

from .test_benchmark_recipes import settings_of, sgd

CIFAR = ("cifar10-lt", "cifar100-lt")

LDAM_CODE = {
    "backbone.name": "resnet32",
    "backbone.pretrained": False,
    "augment.shift": 4,
    "augment.flip": True,
    "augment.crop_scale": None,
    "augment.size": None,
}
"""github.com/kaidic/LDAM-DRW, cifar_train.py: network and transforms."""

LDAM_OPTIM = {
    "epochs": 200,
    "batch_size": 128,
    "lr": 0.1,
    "weight_decay": 2e-4,
    "schedule": "step",
    "milestones": [160, 180],
    "step_gamma": 0.01,
    "warmup_epochs": 5,
}
"""The same: arguments' defaults and adjust_learning_rate. MiSLAS's stage 1 (config/cifar100) has them, too."""

SECOND_STAGE = {"epochs": 10, "batch_size": 128, "lr": 0.1, "weight_decay": 2e-4, "schedule": "cosine"}
"""github.com/dvlab-research/MiSLAS, config/cifar*/..._stage2_mislas.yaml and train_stage2.py."""

KANG = {"batch_size": 512, "lr": 0.2, "weight_decay": 1e-4, "schedule": "cosine"}
"""github.com/facebookresearch/classifier-balancing, config/iNaturalist18."""

ZHONG = {"batch_size": 256, "lr": 0.1, "weight_decay": 1e-4, "schedule": "cosine"}
"""github.com/dvlab-research/MiSLAS, config/ina2018."""

PUBLISHED: dict[tuple[str, str], dict[str, Any]] = {
    **{(name, "baseline"): {**LDAM_CODE, **sgd("baseline", **LDAM_OPTIM)} for name in CIFAR},
    **{
        (name, "ldam-drw"): {
            **LDAM_CODE,
            **sgd("ldam-drw", **LDAM_OPTIM),
            "ldam-drw.max_margin": 0.5,
            "ldam-drw.scale": 30,
            "ldam-drw.defer": 160 / 200,
            "ldam-drw.beta": 0.9999,
        }
        for name in CIFAR
    },
    **{(name, "focal"): {**LDAM_CODE, **sgd("focal", **LDAM_OPTIM), "focal.gamma": 1} for name in CIFAR},
    **{(name, "mixup"): {**LDAM_CODE, **sgd("mixup", **LDAM_OPTIM), "mixup.alpha": 1.0} for name in CIFAR},
    **{(name, m): sgd(m, **SECOND_STAGE) for name in CIFAR for m in ("crt", "lws", "uniform", "prototype", "gan")},
    **{(name, "tau-norm"): {"tau-norm.tau": "val"} for name in (*CIFAR, "inaturalist2018")},
    ("cifar10-lt", "mislas"): {
        **sgd("mislas", **SECOND_STAGE),
        "mislas.smooth_head": 0.3,
        "mislas.smooth_tail": 0.0,
        "mislas.statistics_epochs": 0,
    },
    ("cifar100-lt", "mislas"): {
        **sgd("mislas", **SECOND_STAGE),
        "mislas.smooth_head": 0.4,
        "mislas.smooth_tail": 0.1,
        "mislas.statistics_epochs": 1,
    },
    ("cifar10-lt", "experts"): {"experts.partition": 3, **sgd("experts", weight_decay=2e-4)},
    ("cifar100-lt", "experts"): {"experts.partition": "folds", **sgd("experts", weight_decay=2e-4)},
    ("inaturalist2018", "baseline"): {
        "backbone.name": "resnet50",
        "backbone.pretrained": False,
        "augment.crop_scale": [0.08, 1.0],
        "augment.flip": True,
        "augment.color_jitter": [0.0, 0.0, 0.0, 0.0],
        "augment.size": 224,
        **sgd("baseline", epochs=90, **KANG),
    },
    ("inaturalist2018", "crt"): {**sgd("crt", epochs=30, **KANG), "crt.samples_per_class": 4},
    ("inaturalist2018", "lws"): {**sgd("lws", epochs=5, **KANG), "lws.samples_per_class": 4},
    ("inaturalist2018", "uniform"): sgd("uniform", epochs=30, **KANG),
    ("inaturalist2018", "mixup"): {**sgd("mixup", epochs=200, **ZHONG), "mixup.alpha": 0.2},
    ("inaturalist2018", "mislas"): {
        **sgd("mislas", epochs=10, **ZHONG),
        "mislas.smooth_head": 0.3,
        "mislas.smooth_tail": 0.0,
        "mislas.statistics_epochs": 1,
    },
    ("inaturalist2018", "prototype"): sgd("prototype", weight_decay=1e-4),
    ("inaturalist2018", "experts"): {
        "experts.partition": "folds",
        "experts.reject_ratio": 16,
        **sgd("experts", batch_size=256, lr=0.1, weight_decay=1e-4, schedule="step", step_epochs=10, patience=15),
    },
}

CASES = pytest.mark.parametrize(("dataset", "method"), PUBLISHED, ids=lambda name: name)


@CASES
def test_a_recipe_holds_the_numbers_of_its_source(dataset: str, method: str) -> None:
    found = resolve(methods=[method], dataset=dataset)
    values, published = settings_of(found), PUBLISHED[dataset, method]
    assert {key: values[key] for key in published} == published
    recipes = {f"recipe {name}.toml" for name in (method, "baseline", "mixup")}
    assert {found.sources[key] for key in published} <= {*recipes, "default"}
    assert found.notes == []


def test_every_recipe_has_its_case() -> None:
    """Here, or in test_zoo_recipes.py."""
    from .test_zoo_recipes import PUBLISHED as LATER

    configs = Path(__file__).parents[2] / "configs"
    folders = {name: configs / name.replace("-", "_") for name in (*CIFAR, "inaturalist2018")}
    files = {(name, file.stem) for name, folder in folders.items() for file in folder.glob("*.toml")}
    assert files == PUBLISHED.keys() | {case for case in LATER if case[0] in folders}


@pytest.mark.parametrize("method", ["balanced-softmax", "lifted", "range"])
def test_a_loss_without_a_recipe_is_trained_as_the_baseline(method: str) -> None:
    found = resolve(methods=[method], dataset="cifar100-lt")
    ours, baseline = found.method_configs[method], resolve(methods=["baseline"], dataset="cifar100-lt")
    assert isinstance(ours, OneClassifier.Config)
    assert ours.optim == baseline.method_configs["baseline"].optim  # type: ignore[attr-defined]
    assert found.notes == []


@pytest.mark.parametrize("dataset", CIFAR)
def test_the_learning_rate_falls_as_in_the_code_of_cao_et_al(dataset: str) -> None:
    optim = resolve(methods=["baseline"], dataset=dataset).method_configs["baseline"].optim  # type: ignore[attr-defined]
    steps = 85
    for epoch in range(1, 201):
        theirs = epoch / 5 if epoch <= 5 else 1e-4 if epoch > 180 else 1e-2 if epoch > 160 else 1
        assert optim.factor(epoch * steps - 1, steps, 200) == pytest.approx(theirs), epoch
        if epoch > 5:
            assert optim.factor((epoch - 1) * steps, steps, 200) == pytest.approx(theirs), epoch


COUNTS = {"a": 101, "b": 21, "c": 6}
"""Of a many-, a medium- and a few-shot class."""

SHORT: dict[str, Any] = {"optim": {"epochs": 1}}

SHORTER: dict[str, Any] = {
    **dict.fromkeys(("baseline", "ldam-drw", "focal", "mixup", "crt", "lws", "mislas", "uniform", "prototype"), SHORT),
    "experts": {"optim": {"epochs": 1, "min_steps": 0}},
    "gan": {"optim": {"epochs": 1}, "generative": {"steps": 2, "hidden": 16}},
}


RUN_ALREADY = {
    ("cifar10-lt", method) for method in ("ldam-drw", "focal", "crt", "lws", "tau-norm", "uniform", "prototype")
}
"""With the same settings as on CIFAR-100-LT."""


@pytest.mark.parametrize("dataset", [*CIFAR, "inaturalist2018"])
def test_its_recipes_run_on_other_images(ltb: Callable[..., Outcome], tmp_path: Path, dataset: str) -> None:
    """All of them in one run of ``folder``, with smaller images and fewer epochs; ResNet-50 is made smaller, too."""
    few = dict.fromkeys(COUNTS, 2)
    for number, (split, each) in enumerate({"train": COUNTS, "val": few, "test": few}.items()):
        tree(tmp_path / split, each, size=(20, 16), seed=number)
    methods = [method for name, method in PUBLISHED if name == dataset and (dataset, method) not in RUN_ALREADY]
    smaller = {"backbone": {"kwargs": {"layers": [1, 1, 1, 1], "channels": WIDTHS}}} if "inat" in dataset else {}
    changed = {**smaller, "augment": {"size": 16}, **{name: SHORTER[name] for name in methods if name in SHORTER}}
    asked = [part for method in methods for part in ("--method", method)]
    asked += settings(compute={"workers": 0}, experts={**changed.pop("experts"), "subset": {}}, **changed)
    done = ltb("run", "-d", "folder", "--data-root", tmp_path, "--recipe", dataset, *asked, "--fuser", "soft", "--json")
    assert done.code == 0, done.err
    (record,) = [record for record in json.loads(done.out)["records"] if set(record["methods"]) == set(methods)]
    assert record["track"]["backbone"].startswith("resnet50" if "inat" in dataset else "resnet32")
