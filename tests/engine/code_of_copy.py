"""Run with PYTHONPATH on a copy of the project: what edits of it do to the code of every kind of key.

Reads ``[[path, old text, new text], ...]`` on stdin; writes for each edit {key -> modules whose hash differs}. A key is
``stage/<method>/<dataset>``, ``features/<dataset>`` or ``evaluation/<fuser>``.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import ltbench
from ltbench.backbones.create import create_backbone
from ltbench.engine.evaluation.evaluate import fuser_class
from ltbench.engine.keys import keys
from ltbench.registry.manager import plugins

ROOT = Path(ltbench.__file__).parents[1]
found = plugins()
METHODS = {name: found.methods.load(name) for name in found.methods.names()}
DATASETS = {name: found.datasets.load(name) for name in found.datasets.names()}
FUSERS = {name: fuser_class(name) for name in ("none", *found.fusers.names())}
BACKBONE = create_backbone("resnet10", image_shape=(1, 32, 32))


def all_code() -> dict[str, dict[str, str]]:
    keys._shared.cache_clear()  # a new process would read the files anew
    code = {f"stage/{m}/{d}": keys.stage_code(METHODS[m], DATASETS[d]) for m in METHODS for d in DATASETS}
    code |= {f"features/{d}": keys.feature_code(BACKBONE) | keys.code_of([DATASETS[d]]) for d in DATASETS}
    return code | {f"evaluation/{name}": keys.evaluation_code(fuser) for name, fuser in FUSERS.items()}


def edited(path: Path, old: str, new: str) -> dict[str, list[str]]:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {text.count(old)} times {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")
    try:
        after = all_code()
    finally:
        path.write_text(text, encoding="utf-8")
    return {key: differing(before[key], after[key]) for key in before if before[key] != after[key]}


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {**one, **other} if one.get(name) != other.get(name))


if __name__ == "__main__":
    before = all_code()
    edits = [edited(ROOT / path, old, new) for path, old, new in json.load(sys.stdin)]
    json.dump({"root": str(ROOT), "before": before, "edits": edits}, sys.stdout)
