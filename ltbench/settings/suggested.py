"""Settings that the dataset of a run suggests (:meth:`ltbench.data.base.Dataset.suggested_settings`), as layers and in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ltbench.data.base import Dataset
from ltbench.data.suggestions import Asked, Suggestion
from ltbench.errors import PluginError
from ltbench.registry.manager import plugin_code, plugins
from ltbench.settings.layers import Layer, Merged, leaves
from ltbench.training.optim import OptimConfig


def suggested_layers(
    dataset: str, options: BaseModel, root: Path | None, settings: Mapping[str, Any], methods: Sequence[str]
) -> list[tuple[Layer, str]]:
    """What the dataset suggests, each with its reason. A dataset that suggests nothing is not opened.

    Args:
        dataset: its name; ``options`` and ``root`` are what it is opened with.
        settings: what recipes and the user say, nested as in a recipe.
        methods: all that take part.

    Raises:
        DataError: the dataset is not there, or its files are wrong.
        PluginError: its code fails, or suggests what cannot be.
    """
    cls: type[Dataset] = plugins().datasets.load(dataset)
    if cls.suggested_settings is Dataset.suggested_settings:
        return []
    with plugin_code("dataset", dataset, "suggested_settings"):
        found = list(cls(options, root).suggested_settings(Asked(settings, _default_optims(methods))))
    for each in found:
        if not isinstance(each, Suggestion) or "dataset" in each.settings:
            raise PluginError(f"dataset '{dataset}': suggested_settings gives Suggestions, without a table 'dataset'.")
    return [(Layer(f"suggested by {dataset}", dict(each.settings)), each.reason) for each in found]


def in_words(suggested: Sequence[tuple[Layer, str]], merged: Merged) -> list[str]:
    """A line for each suggestion that counts, naming what of it no other layer says."""
    lines = []
    for layer, reason in suggested:
        tables: dict[str, list[str]] = {}
        for path, value in leaves(layer.values):
            if path in merged and merged[path].source == layer.source:
                shown = str(value).lower() if isinstance(value, bool) else value
                tables.setdefault(".".join(path[:-1]), []).append(f"{path[-1]} = {shown}")
        if tables:
            text = "; ".join(f"{table}: {', '.join(values)}" for table, values in tables.items())
            lines.append(f"{layer.source}, as {reason}: {text}.")
    return lines


def _default_optims(methods: Sequence[str]) -> dict[tuple[str, str], OptimConfig]:
    defaults = {method: vars(plugins().methods.load(method).Config.model_construct()) for method in methods}
    return {
        (method, key): value
        for method, values in defaults.items()
        for key, value in values.items()
        if isinstance(value, OptimConfig)
    }
