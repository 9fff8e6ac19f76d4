"""How the subcommands of ``ltbench data`` that need a dataset open it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.cli.options import set_option

if TYPE_CHECKING:
    from ltbench.data.base import Dataset

dataset_set_option = set_option(
    "An option of the dataset, as 'ltbench show NAME' lists them: --set lists=/data/lists; with or without the "
    "'dataset.options.' that 'ltbench run' wants before it. May be repeated.",
    metavar="OPTION=VALUE",
)


def open_dataset(name: str, root: Path | None, overrides: Sequence[str], **preset: Any) -> Dataset:
    """The dataset with the options given by ``--set``, above those preset as far as the dataset has them.

    Raises:
        UsageError: an unknown dataset or option, or a value that is wrong.
        PluginError: what provides the dataset is broken.
        DataError: the data root is no folder.
    """
    from ltbench.api import get_dataset
    from ltbench.errors import DataError
    from ltbench.registry.manager import plugins
    from ltbench.settings.layers import parse_override

    if root is not None and not root.is_dir():
        raise DataError(f"the data root {root} is no folder.")
    known = plugins().datasets.load(name).Options.model_fields
    options = {option: value for option, value in preset.items() if option in known}
    for text in overrides:
        options |= parse_override(text.removeprefix("dataset.options.")).values
    return get_dataset(name, root, **options)


def ask(dataset: Dataset, doing: str) -> AbstractContextManager[None]:
    """Around a dataset's own code. Raises PluginError when it fails."""
    from ltbench.registry.manager import plugin_code

    return plugin_code("dataset", type(dataset), doing)
