"""The data of Figures 4 and 5 over several seeds as one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def pooled(kind: str, seeds: Mapping[Any, Any]) -> dict[str, Any]:
    """Of the seeds that have data: percentages averaged (``expert_confusion``), samples counted together (``confidence``).

    Same keys as the data of one seed.
    """
    looks = [look for look in seeds.values() if isinstance(look, dict)]
    return _mean_confusion(looks) if kind == "expert_confusion" else _summed_histograms(looks)


def _mean_confusion(looks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {**looks[0], "percent": np.mean([look["percent"] for look in looks], axis=0).tolist()}


def _summed_histograms(looks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    samples = [look["samples"] for look in looks]
    experts = list(looks[0]["counts"])
    return {
        "edges": looks[0]["edges"],
        "counts": {name: np.sum([look["counts"][name] for look in looks], axis=0).tolist() for name in experts},
        "mean": {name: float(np.average([look["mean"][name] for look in looks], weights=samples)) for name in experts},
        "samples": sum(samples),
        "of": sum(look["of"] for look in looks),
    }
