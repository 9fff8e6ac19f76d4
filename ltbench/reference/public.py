"""What is public: the names in ``__all__`` of the modules below. All else, and what begins with ``_``, is the harness's own.

docs/reference.md describes every one of these names, and no other; the shipped plugins and docs/examples use no other.
"""

from importlib import import_module

PARTS: dict[str, tuple[str, ...]] = {
    "From Python": (
        "ltbench",
        "ltbench.config",
        "ltbench.results.schema",
        "ltbench.errors",
    ),
    "Registering": (
        "ltbench.plugin",
        "ltbench.hookspecs",
        "ltbench.plan",
    ),
    "Methods": (
        "ltbench.method",
        "ltbench.training.request",
        "ltbench.training.step",
        "ltbench.training.optim",
        "ltbench.training.mixing",
        "ltbench.classes",
        "ltbench.backbones.backbone",
        "ltbench.backbones.create",
        "ltbench.backbones.forks",
        "ltbench.backbones.checkpoints",
        "ltbench.data.samplers",
        "ltbench.data.augmentation.augment",
        "ltbench.data.augmentation.augment_config",
        "ltbench.data.augmentation.draws",
        "ltbench.data.augmentation.cuts",
        "ltbench.data.augmentation.views",
    ),
    "Fusers": (
        "ltbench.fuser",
        "ltbench.members",
        "ltbench.posterior",
    ),
    "Datasets": (
        "ltbench.data",
        "ltbench.data.base",
        "ltbench.data.folds",
        "ltbench.data.carving",
        "ltbench.data.checks",
        "ltbench.data.suggestions",
        "ltbench.data.long_tailed",
        "ltbench.data.tensor_cache",
        "ltbench.data.images.file_dataset",
        "ltbench.data.images.image_list",
        "ltbench.data.images.image_checks",
        "ltbench.data.images.looks",
        "ltbench.data.images.contents",
        "ltbench.data.images.packed",
    ),
    "Tests": ("ltbench.testing",),
    "Files and threads": (
        "ltbench.common.cache",
        "ltbench.common.canonical",
        "ltbench.common.files",
        "ltbench.common.threads",
    ),
}
"""Part of the page -> its modules, in their order."""

MODULES = tuple(module for modules in PARTS.values() for module in modules)


def is_private(name: str) -> bool:
    """Whether it begins with ``_``, as Python's own ``__names__`` do not."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def is_public(module: str, name: str) -> bool:
    """Whether ``from module import name`` is for users and authors of plugins."""
    return module in MODULES and name in import_module(module).__all__
