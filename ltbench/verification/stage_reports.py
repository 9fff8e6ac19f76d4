"""What the stages in the cache say of themselves, beside what a record says of them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ltbench.config import RunConfig
from ltbench.data.augmentation.views import TestViews
from ltbench.results.differences import first_difference
from ltbench.results.record import Record
from ltbench.results.schema import StageInfo
from ltbench.results.stage import Stage
from ltbench.results.track import own_augmentation

_SHA256 = re.compile("[0-9a-f]{64}")


def kept_stage(cache: Path, stage: StageInfo, views: TestViews) -> Stage | None:
    """A record's stage, where the cache has it with the logits of these views. Raises DataError for one that is damaged."""
    for folder in sorted(cache.glob(f"stages/*-{stage.key[:20]}")):
        kept = Stage(stage.method, stage.key, {}, folder, views)
        if kept.evaluated and kept.report():
            return kept
    return None


def compare_with_stages(record: Record, kept: Mapping[str, Stage]) -> Iterator[str]:
    """A line for each contradiction. ``kept``: the record's stages that are there, by method."""
    reports = {name: stage.report() for name, stage in kept.items()}
    keys = {stage.method: stage.key for stage in record.stages}
    config = RunConfig.model_validate(record.config)
    for stage in record.stages:
        if stage.method not in reports:
            continue
        report = reports[stage.method]
        inputs, seconds = report["inputs"], round(sum(report["seconds"].values()), 3)
        for key, stated in _inputs(record, stage.method).items():
            if odd := first_difference(*_known_to_both(stated, inputs.get(key)), 0.0):
                yield f"{key} of the stage '{stage.method}' in the cache: {odd.strip('. ')}"
        if inputs["requires"] != {name: keys.get(name) for name in inputs["requires"]}:
            yield f"stages: '{stage.method}' in the cache was trained from another stage"
        if report["weights_sha256"] != stage.weights:
            yield f"stages: the weights of '{stage.method}' in the cache are others"
        if (stage.augmentation or ()) != tuple(own_augmentation(report, config) or ()):
            yield f"stages: the trainings of '{stage.method}' in the cache saw other images than augmentation says"
        stated = None if stage.cost is None else stage.cost.model_dump(mode="json")
        if stated != report.get("cost"):
            yield f"stages: the cost of '{stage.method}' in the cache is another"
        if seconds != record.timings[stage.method]:
            yield f"timings.{stage.method} is {record.timings[stage.method]}, the stage says {seconds}"
    if reports.keys() == keys.keys():
        processes = max(report["num_processes"] for report in reports.values())
        if processes != record.num_processes:
            yield f"num_processes is {record.num_processes}, the stages say {processes}"


def _inputs(record: Record, method: str) -> dict[str, Any]:
    """The part of a stage's inputs (:func:`ltbench.engine.planning.make_plan`) that the record knows."""
    config, data = RunConfig.model_validate(record.config).model_dump(mode="json"), record.dataset
    return {
        "seed": record.seed,
        "dataset": {"name": data.name, "fingerprint": data.fingerprint, "storage": record.track.storage},
        "precision": record.environment.precision,
        "augment": config["augment"],
        "mixing": config["mixing"],
        "backbone": config["backbone"],
        "config": config["settings"][method],
        "gradient_accumulation": config["compute"]["gradient_accumulation"],
        "gradient_checkpointing": config["compute"]["gradient_checkpointing"],
        "compile": config["compute"]["compile"] or None,  # a stage without it does not name it
    }


def _known_to_both(stated: Any, made: Any) -> tuple[Any, Any]:
    """Both without the settings of which a stage knows something else: of a file the hash of its content, where a record has
    the path; of what decides nothing (a mere permission) not even that it is there."""
    if not (isinstance(stated, Mapping) and isinstance(made, Mapping)):
        return stated, made
    files = {
        key
        for key, value in made.items()
        if key != "fingerprint" and isinstance(value, str) and _SHA256.fullmatch(value)
    }
    kept = {key: value for key, value in stated.items() if key in made and key not in files}
    return kept, {key: value for key, value in made.items() if key not in files}
