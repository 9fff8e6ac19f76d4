"""Edits of a record's file, as a careful forger would make them."""

import base64
import copy
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.folds import FOLD_RULES
from ltbench.results.record import config_hash
from ltbench.statistics.metrics import accuracy_from_counts

Content = dict[str, Any]
Edit = Callable[[Content], object]


def edited(path: Path, edit: Edit) -> Path:
    """The record with an edit, laid where a careful forger would: hash and name of the file fit it."""
    content = json.loads(path.read_text())
    before = copy.deepcopy(content)
    edit(content)
    assert content != before
    if content["config"] != before["config"]:
        content["config_hash"] = config_hash(content["config"])
    path.unlink()
    name = f"{'+'.join(content['methods'])}--{content['fuser']}--s{content['seed']}--{content['config_hash'][:8]}.json"
    changed = path.with_name(name.replace("/", "_"))
    changed.write_text(json.dumps(content))
    return changed


def setting(*keys: str | int, to: Any) -> Edit:
    """Set one value, or change it where ``to`` is a function."""

    def edit(content: Content) -> None:
        part: Any = content
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = to(part[keys[-1]]) if callable(to) else to

    return edit


def dropping(*keys: str | int) -> Edit:
    def edit(content: Content) -> None:
        part: Any = content
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]

    return edit


def other_digit(text: str) -> str:
    return ("0" if text[0] != "0" else "1") + text[1:]


def other_bit(text: str) -> str:
    return base64.b64encode(bytes([base64.b64decode(text)[0] ^ 0x80]) + base64.b64decode(text)[1:]).decode()


def swapped(values: list[Any]) -> list[Any]:
    return [values[1], values[0], *values[2:]]


def better_oracle(accuracy: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """100 % everywhere."""
    return {rule: dict.fromkeys(folds, 100.0) for rule, folds in accuracy.items()}


def perfect(content: Content) -> None:
    """Bits, counts and metrics forged together."""
    total = content["per_class_total"]
    content["per_class_correct"] = total
    content["correct_bits"] = base64.b64encode(np.packbits(np.ones(sum(total), dtype=bool)).tobytes()).decode()
    counts = content["dataset"]["train_counts"]
    content["metrics"] = {rule: accuracy_from_counts(total, total, counts, rule) for rule in FOLD_RULES}


def augmented(content: Content) -> None:
    """The images that a stage saw, and the track that follows."""
    content["stages"][1]["augmentation"] = ["policy=rand, shift=2"]
    content["track"]["augmentation"] = "policy=rand, shift=2; shift=2"


ALONE: dict[str, Edit] = {
    "schema_version": setting("schema_version", to=1),
    "schema_version missing": dropping("schema_version"),
    "source": setting("source", to="reported"),
    "an unknown key": setting("surprise", to=1),
    "dataset.name": setting("dataset", "name", to="birds-lt"),
    "dataset.name as a path": setting("dataset", "name", to="/tmp/elsewhere"),
    "dataset.name above": setting("dataset", "name", to=".."),
    "dataset.num_classes": setting("dataset", "num_classes", to=10),
    "dataset.num_classes as a truth": setting("dataset", "num_classes", to=True),
    "dataset.train_counts": setting("dataset", "train_counts", 0, to=lambda count: count + 1),
    "dataset.train": setting("dataset", "train", to=lambda count: count + 1),
    "dataset.test": setting("dataset", "test", to=lambda count: count + 1),
    "dataset.options": setting("dataset", "options", "seed", to=7),
    "methods": setting("methods", to=["baseline"]),
    "methods, one more": setting("methods", to=["experts", "uniform"]),
    "fuser": setting("fuser", to="soft"),
    "fuser none": setting("fuser", to="none"),
    "role reference": setting("role", to="reference"),
    "role control": setting("role", to="control"),
    "members, a name": setting("members", 0, "name", to="uniform/all"),
    "members, a method": setting("members", 0, "method", to="uniform"),
    "members, a size": setting("members", 0, "num_classes", to=lambda size: size + 1),
    "members, outside none": setting("members", 0, "outside", to="none"),
    "members, one less": dropping("members", 0),
    "members, one twice": setting(
        "members", 1, to={"name": "experts/many", "method": "experts", "num_classes": 1, "outside": "reject"}
    ),
    "config, a seed": setting("config", "seed", to=5),
    "config, a backbone": setting("config", "backbone", "name", to="resnet18"),
    "config, pretrained": setting("config", "backbone", "pretrained", to=True),
    "config, epochs": setting("config", "settings", "baseline", "optim", "epochs", to=200),
    "config, a setting of a wrong type": setting("config", "settings", "experts", "optim", "lr", to="much"),
    "config, a section less": dropping("config", "settings", "baseline"),
    "config, a section more": setting("config", "settings", "uniform", to={}),
    "config, methods": setting("config", "methods", to=["baseline"]),
    "config, fusers": setting("config", "fusers", to=[]),
    "config, folds": setting("config", "folds", to="kang"),
    "config, precision": setting("config", "compute", "precision", to="bf16"),
    "config, device": setting("config", "compute", "device", to="cuda"),
    "config, an unknown key": setting("config", "compute", "luck", to=7),
    "config, augmentation": setting("config", "augment", "flip", to=True),
    "config, mixing": setting("config", "mixing", to=lambda mixing: {**mixing, "mixup": 0.4}),
    "config, a dataset": setting("config", "dataset", "name", to="birds-lt"),
    "config_hash": setting("config_hash", to=other_digit),
    "seed": setting("seed", to=9),
    "num_processes": setting("num_processes", to=0),
    "selection": setting("selection", "split", to="test"),
    "fold_rule": setting("fold_rule", to="oltr"),
    "metrics": setting("metrics", "paper", "few", to=lambda value: value + 0.5),
    "metrics, a rule less": dropping("metrics", "kang"),
    "calibration.ece": setting("calibration", "ece", to=-0.5),
    "calibration.nll too good": setting("calibration", "nll", to=0.01),
    "per_class_correct": setting("per_class_correct", 0, to=lambda right: right + 1),
    "per_class_total": setting("per_class_total", to=lambda total: [total[0] + 1, total[1] - 1, *total[2:]]),
    "correct_bits": setting("correct_bits", to=other_bit),
    "timings, negative": setting("timings", "experts", to=-3.0),
    "timings, one less": dropping("timings", "baseline"),
    "stages, one less": dropping("stages", 0),
    "stages, one twice": setting("stages", to=lambda stages: [stages[0], *stages]),
    "stages, an order": setting("stages", to=swapped),
    "stages.key": setting("stages", 0, "key", to="abc"),
    "stages.augmentation": setting("stages", 1, "augmentation", to=["policy=rand, shift=2"]),
    "stages.augmentation, empty": setting("stages", 1, "augmentation", to=[]),
    "stages.cost, of one alone": dropping("stages", 0, "cost"),
    "stages.cost.parameters": setting("stages", 1, "cost", "parameters", to=0),
    "stages.cost.extracted": setting("stages", 1, "cost", "extracted", to=7),
    "stages.cost.images": setting("stages", 1, "cost", "images", to=-1),
    "stages.cost.seconds, none": setting("stages", 1, "cost", "seconds", to=0.0),
    "stages.cost.device": setting("stages", 1, "cost", "device", to="abacus"),
    "stages.cost.device, a faster one": lambda content: (
        content["stages"][1]["cost"].update(device="cuda", seconds=1e-3) or content["timings"].update(experts=99.0)
    ),
    "track.backbone": setting("track", "backbone", to="resnet50"),
    "track.pretraining": setting("track", "pretraining", to="file x.pt"),
    "track.epochs": setting("track", "epochs", to=1),
    "track.augmentation": setting("track", "augmentation", to="none"),
    "track.precision": setting("track", "precision", to="bf16"),
    "track.test_views": setting("track", "test_views", to="five crops"),
    "track.transductive": setting("track", "transductive", to=True),
    "environment.precision": setting("environment", "precision", to="bf16"),
    "environment.threads": setting("environment", "threads", to=0),
    "environment.device, a control character": setting("environment", "device", to="cpu\x1b[2J"),
    "logits_sha256": setting("logits_sha256", "test", to="abc"),
    "created": setting("created", to=(datetime.now(UTC) + timedelta(days=9)).isoformat()),
    "created without a zone": setting("created", to="2026-01-01T00:00:00"),
    "fuser_state, a member less": dropping("fuser_state", "members", "experts/few"),
    "fitted_on, another split": setting("fitted_on", to="test"),
    "fuser_state, no number": setting("fuser_state", "l2", to=math.nan),
    "analyses, the oracle's All": setting("analyses", "oracle", "accuracy", "paper", "all", to=99.0),
    "analyses, chooses_among": setting("analyses", "oracle", "chooses_among", "experts/many", to=3),
    "analyses, another": setting("analyses", "luck", to={}),
}
"""Noticed without logits."""

LOGITS: dict[str, Edit] = {
    "bits, counts and metrics together": perfect,
    "dataset.fingerprint": setting("dataset", "fingerprint", to=other_digit),
    "dataset.val": setting("dataset", "val", to=lambda count: count + 1),
    "members, an order": setting("members", to=swapped),
    "members, outside zero": setting("members", 0, "outside", to="zero"),
    "config, a fuser's": setting("config", "settings", "joint", "reject", to="share"),
    "config, a learning rate": setting("config", "settings", "experts", "optim", "lr", to=0.5),
    "config, a required method's": setting("config", "settings", "baseline", "optim", "lr", to=0.5),
    "config, gradient accumulation": setting("config", "compute", "gradient_accumulation", to=2),
    "num_processes": setting("num_processes", to=8),
    "calibration.ece": setting("calibration", "ece", to=lambda ece: ece - 0.5),
    "calibration.nll": setting("calibration", "nll", to=lambda nll: nll - 0.01),
    "calibration.nll, infinite": setting("calibration", "nll", to=None),
    "timings of a stage": setting("timings", "experts", to=1.0),
    "stages.key of a required one": setting("stages", 0, "key", to=other_digit),
    "stages.cost.images": setting("stages", 1, "cost", "images", to=lambda images: images // 2),
    "stages.cost.multiply_adds": setting("stages", 1, "cost", "multiply_adds", to=1),
    "stages.cost.seconds": setting("stages", 1, "cost", "seconds", to=0.001),
    "stages.cost of none": lambda content: [stage.pop("cost") for stage in content["stages"]],
    "stages.weights": setting("stages", 1, "weights", to=other_digit),
    "track.storage": setting("track", "storage", to="packed, short side 8"),
    "logits_sha256.val": setting("logits_sha256", "val", to=other_digit),
    "logits_sha256.test": setting("logits_sha256", "test", to=other_digit),
    "fuser_state": setting("fuser_state", "members", "experts/few", "w", 0, to=lambda value: value + 0.1),
    "fuser_state, another key": setting("fuser_state", "luck", to=1),
    "fitted_on": setting("fitted_on", to="nothing"),
    "augmentation of a stage and the track": augmented,
    "analyses, none": setting("analyses", to={}),
    "analyses, a better oracle": setting("analyses", "oracle", "accuracy", to=better_oracle),
}
"""Noticed where the logits are; without them nothing contradicts."""

UNSEEN: dict[str, Edit] = {
    "environment.git_commit": setting("environment", "git_commit", to="0" * 40),
    "environment.git_dirty": setting("environment", "git_dirty", to=lambda dirty: not dirty),
    "environment.python": setting("environment", "python", to="4.0"),
    "environment.torch": setting("environment", "torch", to="9.9"),
    "environment.platform": setting("environment", "platform", to="Plan 9"),
    "environment.cpu": setting("environment", "cpu", to="Z80"),
    "environment.threads": setting("environment", "threads", to=64),
    "environment.device": setting("environment", "device", to="cuda"),
    "environment.plugins": setting("environment", "plugins", to={"ltbench": "9.9"}),
    "created": setting("created", to="2020-01-01T00:00:00Z"),
    "timings of the fuser": setting("timings", "fuser_fit", to=0.0),
    "notes": setting("notes", to=["the best of all"]),
    "dataset.skipped": setting("dataset", "skipped", to={"test": ["a.jpg"]}),
    "track.resolution": setting("track", "resolution", to=512),
    "config, defaults left out": dropping("config", "compute"),
    "config, that changes no number": setting("config", "compute", "eval_batch_size", to=3),
}
"""What docs/guarantees.md lists as seen by no check."""


ODD = (None, True, -1, 0.5, 10**30, math.nan, "", "x", "\x1b[2J", [], [[]], {}, {"": {"a": []}})


def places(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something stands in plain values; of lists the first two entries."""
    if above:
        yield above
    entries = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*above, key))
