"""What of a record can be recomputed, recomputed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ltbench.errors import DataError
from ltbench.results.record import Record, logits_digest
from ltbench.results.store import read_record


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``unknown``: what it needs is not on this machine."""

    state: Literal["ok", "failed", "unknown"]
    text: str


def verify(path: Path, cache: Path) -> list[Finding]:
    """Check a record's file against itself and, where its stages are in the cache, their logits against its hashes."""
    try:
        record = read_record(
            path
        )  # compares the counts with the bits, the metrics with the counts, the hash with the settings
    except DataError as error:
        return [Finding("failed", str(error))]
    findings = [
        Finding(
            "ok",
            f"{sum(record.per_class_correct)} of {record.dataset.test} samples right: bits and per-class counts agree",
        ),
        Finding("ok", f"metrics under {', '.join(sorted(record.metrics))} follow from the counts"),
        Finding("ok", f"settings have the hash {record.config_hash[:8]}"),
    ]
    named = path.name == f"{record.name}.json"
    findings.append(
        Finding("ok", "name of the file")
        if named
        else Finding("failed", f"the file should be called {record.name}.json")
    )
    return findings + [_check_logits(record, split, cache) for split in ("val", "test")]


def _check_logits(record: Record, split: str, cache: Path) -> Finding:
    stated = getattr(record.logits_sha256, split)
    methods = {member.method for member in record.members}
    logits: dict[str, np.ndarray] = {}
    for stage in record.stages:
        if stage.method in methods:
            path = next(cache.glob(f"stages/*-{stage.key[:20]}/logits/{split}.safetensors"), None)
            if path is None:
                return Finding(
                    "unknown", f"logits of {split}: the stage '{stage.method}' {stage.key[:12]} is not in the cache"
                )
            try:
                logits |= load_file(path)
            except (OSError, SafetensorError) as error:
                return Finding("failed", f"logits of {split}: {path} cannot be read: {error}")
    names = [member.name for member in record.members]
    if absent := [name for name in names if name not in logits]:
        return Finding("unknown", f"logits of {split}: no stage of the record holds the member '{absent[0]}'")
    found = logits_digest({name: logits[name] for name in names})
    if found != stated:
        return Finding("failed", f"logits of {split} have sha256 {found[:12]}, the record says {stated[:12]}")
    return Finding("ok", f"logits of {split} in the cache have sha256 {found[:12]}")
