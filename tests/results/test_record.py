"""A record says what it was made from, recomputes its numbers, and refuses to contradict itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ltbench.data.folds import FOLD_RULES
from ltbench.errors import UsageError
from ltbench.results.record import Record, compact_numbers, config_hash, logits_digest, row_config
from ltbench.results.schema import DatasetInfo
from ltbench.results.store import to_json
from ltbench.statistics.metrics import fold_accuracy

from .records import LABELS, TRAIN_COUNTS, outcomes, record


def changed(**changes: Any) -> dict[str, Any]:
    """A record as plain values with some of them replaced; a dotted key reaches into a part."""
    values = record(accuracy=0.5).model_dump(mode="json")
    for key, value in changes.items():
        *above, last = key.split("__")
        part = values
        for name in above:
            part = part[name]
        part[last] = value
    return values


def test_metrics_are_those_of_the_predictions_under_every_fold_rule() -> None:
    correct = outcomes([0.9, 0.75, 0.5, 0.35, 0.2, 0.05])
    predictions = np.where(correct, LABELS, (LABELS + 1) % 6)
    made = record(correct=correct)
    assert set(made.metrics) == set(FOLD_RULES)
    for rule, stated in made.metrics.items():
        assert stated == pytest.approx(fold_accuracy(predictions, LABELS, TRAIN_COUNTS, rule))
    assert made.metrics["paper"] == pytest.approx({"many": 82.5, "medium": 42.5, "few": 12.5, "all": 45.8333}, abs=1e-4)


def test_bits_are_those_of_the_samples_sorted_by_class() -> None:
    correct = outcomes(0.45)
    made = record(correct=correct)
    order = sorted(range(len(LABELS)), key=lambda index: (LABELS[index], index))
    assert made.correct().tolist() == [bool(correct[index]) for index in order]
    assert made.labels().tolist() == [LABELS[index] for index in order]


def test_name_says_what_it_is() -> None:
    made = record("baseline+experts", "joint", seed=3)
    assert made.name == f"baseline+experts--joint--s3--{made.config_hash[:8]}"
    assert ":" not in record("theirs:experts").name


def test_read_back_equal() -> None:
    made = record(fuser_state={"bias": np.array([0.5, -1.25])})
    assert Record.model_validate(json.loads(to_json(made))) == made


def test_infinite_likelihood_is_kept_as_none() -> None:
    assert record(nll=float("inf")).calibration.nll is None


def test_correct_and_labels_must_be_equally_long() -> None:
    with pytest.raises(ValueError, match="one entry for each test sample"):
        record(correct=np.ones(7, dtype=bool))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"metrics__paper__all": 51.0}, r"metrics.paper.all is 51.0000, the counts give 50.0000"),
        ({"metrics__oltr": {"all": 50.0}}, r"metrics.oltr has all; the counts give many, medium, few, all"),
        ({"metrics__mine": {"all": 50.0}}, "unknown fold rule 'mine'"),
        ({"fold_rule": "mine"}, "own fold rule 'mine' is unknown"),
        ({"metrics": {"paper": {}}}, "metrics lack the fold rule 'kang'"),
        ({"seed": True}, "seed"),
        ({"dataset__num_classes": True}, "num_classes"),
        ({"seed": 2**63}, "less than or equal"),
        ({"timings__fuser_fit": -1.0}, "greater than or equal to 0"),
        ({"calibration__ece": 101.0}, "less than or equal to 100"),
        ({"num_processes": 0}, "greater than or equal to 1"),
        ({"dataset__name": "../x"}, "lower case letters"),
        ({"dataset__name": "/etc/x"}, "lower case letters"),
        ({"dataset__name": "a" * 101}, "at most 100"),
        ({"fuser": "a\x1b[2J"}, "lower case letters"),
        ({"methods": [".."]}, "lower case letters"),
        ({"environment__device": "cpu\n"}, "line break"),
        ({"track__backbone": "\u202eresnet"}, "direction of text"),
        ({"stages": []}, "at least 1"),
        ({"per_class_correct": [11, 9, 10, 10, 10, 10]}, "per_class_correct says 11 of class 0, correct_bits say 10"),
        ({"per_class_correct": [10, 10, 10, 10, 10]}, "5 and 6 per-class counts for 6 classes"),
        ({"per_class_total": [20, 20, 20, 20, 20, 21]}, "sums to 121, the test split has 120"),
        ({"correct_bits": "AAAA"}, "does not hold 120 bits"),
        ({"correct_bits": "!"}, "not base64"),
        ({"config__seed": 1, "config__methods": ["other"]}, "config_hash is not the hash of config"),
        ({"fuser_state": {"bias": float("nan")}}, "JSON"),
        ({"dataset__train_counts": [1, 2]}, "2 entries for 6 classes"),
        ({"dataset__train": 7}, "sum to 523 but train is 7"),
        ({"dataset__fingerprint": "abc"}, "pattern"),
        ({"calibration__ece": float("nan")}, "finite"),
        (
            {"schema_version": 1},
            "a record of version 1, this ltbench reads version 2: make it again with 'ltbench run'",
        ),
        ({"schema_version": 3}, "a record of version 3"),
        ({"schema_version": True}, "Input should be 2"),
        ({"source": "reported"}, "measured"),
        ({"surprise": 1}, "Extra inputs"),
        ({"created": "2026-01-01T00:00:00"}, "timezone"),
    ],
)
def test_contradictory_or_malformed_content_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Record.model_validate(changed(**changes))


def test_an_unchanged_copy_is_accepted() -> None:
    assert Record.model_validate(changed()).metrics["paper"]["all"] == 50


def test_unknown_fold_rule() -> None:
    with pytest.raises(UsageError, match="unknown fold rule 'papper'"):
        record().accuracy("papper")


def test_config_hash_ignores_the_seed_and_where_the_images_lie() -> None:
    config = {"seed": 0, "dataset": {"name": "x", "root": "/a"}, "settings": {"experts": {"rho": 8}}}
    elsewhere = {"seed": 5, "dataset": {"name": "x", "root": "/b"}, "settings": {"experts": {"rho": 8}}}
    other = {**config, "settings": {"experts": {"rho": 16}}}
    assert config_hash(config) == config_hash(elsewhere) != config_hash(other)


def test_a_reference_has_one_hash_whichever_run_it_came_from() -> None:
    data, backbone = {"name": "toy-lt", "root": "/home/somebody/images"}, {"name": "resnet10", "unused": "allow"}
    shared = {"dataset": data, "backbone": backbone}
    alone = {"methods": ["baseline"], "fusers": [], **shared, "settings": {"baseline": {"lr": 1}}}
    settings = {"baseline": {"lr": 1}, "experts": {}, "kl": {}}
    beside = {"methods": ["experts"], "fusers": ["kl"], **shared, "settings": settings}
    rows = [row_config(config, ["baseline"], ["baseline"], "none") for config in (alone, beside)]
    assert config_hash(rows[0]) == config_hash(rows[1])
    fused = row_config(beside, ["experts"], ["baseline", "experts"], "kl")
    assert fused["fusers"] == ["kl"]
    assert fused["dataset"] == {"name": "toy-lt", "root": None}
    assert set(fused["settings"]) == {"baseline", "experts", "kl"}


def test_logits_digest_depends_on_names_shapes_values_and_labels_but_not_on_order() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 2), dtype=np.float32)
    labels = np.array([0, 2])
    digest = logits_digest({"x": a, "y": b}, labels)
    assert digest == logits_digest({"y": b, "x": np.asfortranarray(a.astype(">f4"))}, labels.astype(">i4"))
    others = [{"x": a, "z": b}, {"x": a.reshape(3, 2), "y": b}, {"x": a + 1, "y": b}]
    assert digest not in [logits_digest(other, labels) for other in others]
    assert digest != logits_digest({"x": a, "y": b}, labels[::-1])


def test_long_lists_of_a_state_are_kept_as_their_hash() -> None:
    state = compact_numbers({"weight": np.zeros((50, 50)), "bias": np.array([0.123456789]), "steps": 7})
    assert state["weight"]["numbers"] == 2500
    assert len(state["weight"]["sha256"]) == 64
    assert state["bias"] == [0.123457]
    assert state["steps"] == 7


def test_a_record_of_5000_samples_and_100_classes_is_small() -> None:
    counts = np.linspace(500, 5, 100).astype(int)
    labels = np.repeat(np.arange(100), 50)
    data = DatasetInfo(
        name="toy-lt",
        fingerprint="c" * 64,
        num_classes=100,
        train_counts=tuple(counts.tolist()),
        train=int(counts.sum()),
        val=2000,
        test=5000,
        options={},
        skipped={},
    )
    state = {"scale": np.random.default_rng(0).normal(size=205), "shift": np.random.default_rng(1).normal(size=205)}
    made = record(dataset=data, correct=labels % 3 == 0, labels=labels, fuser_state=state)
    assert len(to_json(made).encode()) < 25_000


@pytest.mark.parametrize("path", sorted(Path("results").glob("*/*--s0--*.json")), ids=lambda path: path.name)
def test_records_of_before_say_today_what_they_said(path: Path) -> None:
    """To the byte: fields that came later are left out where nothing was said, so that no mark of a record is lost."""
    text = path.read_text()
    assert to_json(Record.model_validate_json(text)) == text


def test_what_came_later_is_said_where_there_is_something_to_say() -> None:
    plain = json.loads(to_json(record()))
    assert "fitted_on" not in plain
    assert all("augmentation" not in stage for stage in plain["stages"])
    said = json.loads(to_json(record(fitted_on="val")))
    assert said == {**plain, "created": said["created"], "fitted_on": "val"}
