"""Small records for the tests of everything that reads records."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ltbench.common.canonical import digest
from ltbench.config import DatasetConfig, RunConfig
from ltbench.data.augmentation.augment_config import AugmentConfig
from ltbench.results.record import Record, make_record
from ltbench.results.schema import DatasetInfo, Environment, MemberInfo, Selection, StageInfo, Track

TRAIN_COUNTS = (300, 120, 60, 30, 8, 5)
"""Two classes a fold under the rule ``paper``."""

PER_CLASS = 20

LABELS = np.random.default_rng(5).permutation(np.repeat(np.arange(6), PER_CLASS))
"""Test labels in an order that is not sorted."""


def outcomes(accuracy: float | Sequence[float], seed: int = 0) -> np.ndarray:
    """bool[120] in test order: of each class exactly the share ``accuracy`` (one for all, or one a class) is right."""
    shares = np.broadcast_to(np.asarray(accuracy), 6)
    correct = np.zeros(len(LABELS), dtype=bool)
    for label, share in enumerate(shares):
        own = np.random.default_rng([seed, label]).permutation(np.flatnonzero(label == LABELS))
        correct[own[: round(share * PER_CLASS)]] = True
    return correct


def environment(**changes: Any) -> Environment:
    values = {
        "python": "3.12.0",
        "torch": "2.9",
        "timm": "1.0",
        "ltbench": "0.1.0",
        "platform": "Linux",
        "device": "cpu",
        "cpu": "A processor, AVX2",
        "threads": 1,
        "precision": "fp32",
        "git_commit": "0" * 40,
        "git_dirty": False,
        "plugins": {"ltbench": "0.1.0"},
    }
    return Environment.model_validate(values | changes)


def track(**changes: Any) -> Track:
    values = {
        "backbone": "resnet10",
        "pretraining": "none",
        "epochs": 10,
        "augmentation": "shift=2",
        "resolution": 28,
        "storage": "",
        "precision": "fp32",
        "test_views": "centre",
        "transductive": False,
    }
    return Track.model_validate(values | changes)


def record(
    methods: str = "experts",
    fuser: str = "joint",
    *,
    accuracy: float | Sequence[float] = 0.5,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    data: str = "toy-lt",
    data_seed: int = 0,
    correct: np.ndarray | None = None,
    starts_from: str = "baseline",
    **changes: Any,
) -> Record:
    """A record of ``methods`` (joined by +), right on the share ``accuracy`` of each class."""
    names = methods.split("+")
    stages = list(dict.fromkeys([starts_from, *names]))
    fusers = [] if fuser == "none" else [fuser]
    epochs = {stages[0]: {"optim": {"epochs": (changes.get("track") or track()).epochs}}}
    given = settings or {}
    sections = {name: {**epochs.get(name, {}), **given.get(name, {})} for name in [*stages, *fusers]}
    config = RunConfig(
        methods=tuple(names),
        fusers=tuple(fusers),
        seed=seed,
        dataset=DatasetConfig(name=data),
        augment=AugmentConfig(shift=2),
        settings=sections,
    ).model_dump(mode="json")
    arguments: dict[str, Any] = {
        "dataset": DatasetInfo(
            name=data,
            fingerprint=digest([data, data_seed]),
            num_classes=6,
            train_counts=TRAIN_COUNTS,
            train=sum(TRAIN_COUNTS),
            val=60,
            test=len(LABELS),
            options={},
            skipped={},
        ),
        "methods": names,
        "fuser": fuser,
        "role": "run",
        "members": [MemberInfo(name=f"{name}/all", method=name, num_classes=6, outside="none") for name in names],
        "config": config,
        "seed": seed,
        "num_processes": 1,
        "selection": Selection(split="val"),
        "fold_rule": "paper",
        "correct": outcomes(accuracy, seed) if correct is None else correct,
        "labels": LABELS,
        "ece": 3.25,
        "nll": 1.5,
        "timings": dict.fromkeys([*stages, "fuser_fit", "fuser_apply"], 12.3456789),
        "stages": [
            StageInfo(method=name, key=digest([name, seed]), weights=digest(["weights", name, seed])) for name in stages
        ],
        "track": track(),
        "environment": environment(),
        "logits_sha256": {"val": "a" * 64, "test": "b" * 64},
        "fuser_state": {},
        "analyses": {},
        "notes": [],
    }
    return make_record(**(arguments | changes))


def baseline(seed: int = 0, accuracy: float | Sequence[float] = 0.4, **changes: Any) -> Record:
    """The reference, taken as it is."""
    return record("baseline", "none", role="reference", seed=seed, accuracy=accuracy, **changes)
