"""Methods, fusers and datasets by name, for use from Python."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ltbench.data.base import Dataset
from ltbench.fuser import Fuser
from ltbench.registry.manager import plugin_code, plugins
from ltbench.settings.errors import Keys, check
from ltbench.settings.layers import Layer, merge

if TYPE_CHECKING:
    from ltbench.method import Method


def get_method(name: str, **config: Any) -> "Method":
    """The method of that name with these hyperparameters, as its ``Config`` has them.

    Raises:
        UsageError: unknown name or hyperparameter, or a value that is wrong.
        PluginError: the name is ambiguous, what provides it is broken, or its constructor fails.
    """
    cls: type[Method] = plugins().methods.load(name)
    checked = _checked(cls.Config, name, config, "get_method")
    with plugin_code("method", name, "its constructor"):
        return cls(checked)


def get_fuser(name: str, num_classes: int, train_counts: Any = None, **config: Any) -> Fuser:
    """The fuser of that name, unfitted, for posteriors over ``num_classes`` classes.

    ``train_counts``: int[C], training images of each class, where the fuser needs them. Raises as :func:`get_method`.
    """
    cls: type[Fuser] = plugins().fusers.load(name)
    checked = _checked(cls.Config, name, config, "get_fuser")
    with plugin_code("fuser", name, "its constructor"):
        fuser = cls(num_classes, checked)
    if train_counts is not None:
        from ltbench.classes import classes_of

        fuser.classes = classes_of(train_counts)
    return fuser


def get_dataset(name: str, root: Path | str | None = None, **options: Any) -> Dataset:
    """The dataset of that name; ``root``: folder of its images where it needs one. Raises as :func:`get_method`."""
    cls: type[Dataset] = plugins().datasets.load(name)
    checked = _checked(cls.Options, name, options, "get_dataset")
    with plugin_code("dataset", name, "its constructor"):
        return cls(checked, Path(root) if root is not None else None)


def _checked(model: type[BaseModel], name: str, values: dict[str, Any], caller: str) -> Any:
    return check(Keys({(): model}, sections=[]), (), values, merge([Layer(f"{caller}('{name}')", values)]))
