"""Datasets, fold rules, samplers and augmentation. Names are imported on first use: listing datasets needs no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltbench.data.augmentation.augment import Augment, AugmentConfig
    from ltbench.data.base import SPLITS, Batch, Dataset, Split, TensorSplit
    from ltbench.data.folds import FOLD_RULES, FOLDS, FoldRule, fold_rule
    from ltbench.data.samplers import (
        ClassAwareSampler,
        ClassBalancedSampler,
        EpochSampler,
        InstanceSampler,
        SubsetSampler,
    )

_HOMES = {
    "base": ("SPLITS", "Batch", "Dataset", "Split", "TensorSplit"),
    "folds": ("FOLDS", "FOLD_RULES", "FoldRule", "fold_rule"),
    "samplers": ("ClassAwareSampler", "ClassBalancedSampler", "EpochSampler", "InstanceSampler", "SubsetSampler"),
    "augmentation.augment": ("Augment",),
    "augmentation.augment_config": ("AugmentConfig",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "FOLDS",
    "FOLD_RULES",
    "SPLITS",
    "Augment",
    "AugmentConfig",
    "Batch",
    "ClassAwareSampler",
    "ClassBalancedSampler",
    "Dataset",
    "EpochSampler",
    "FoldRule",
    "InstanceSampler",
    "Split",
    "SubsetSampler",
    "TensorSplit",
    "fold_rule",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(f"ltbench.data.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ltbench.data' has no attribute '{name}'")
