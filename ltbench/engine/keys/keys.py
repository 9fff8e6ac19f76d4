"""Which code is in which key: the roots of what computes a stage, features, an evaluation, and where their imports end.

What the roots import counts, and what that imports (:mod:`ltbench.engine.keys.code`). A module that decides no number is best not
imported by one that does, or for type checkers alone; those that have to be are :data:`STOPS`.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from torch import nn

from ltbench.common.cache import cache_dir
from ltbench.data.base import Dataset
from ltbench.engine.keys.code import Code, Root
from ltbench.engine.keys.memo import Memo
from ltbench.fuser import Fuser
from ltbench.method import Method
from ltbench.registry.lookup import PluginRecord
from ltbench.registry.manager import plugins

STAGE = ("ltbench.engine.context", "ltbench.engine.workbench", "ltbench.engine.stage_logits")
"""What trains a stage and evaluates its members, beside the classes of its method and dataset."""

FEATURES = ("ltbench.engine.evaluation.inference",)
"""What computes features, beside the classes of the dataset and of the backbone's modules."""

EVALUATION = ("ltbench.engine.evaluation.evaluate", "ltbench.engine.recording")
"""What makes a record of stored logits, beside the class of the fuser."""

STOPS = {
    "ltbench": "names for users, imported on first use; what they stand for is followed",
    "ltbench.data": "as ltbench",
    "ltbench.common.cache": "where the cache lies",
    "ltbench.data.checks": "what 'ltbench data' says of a dataset",
    "ltbench.data.images.image_checks": "as ltbench.data.checks",
    "ltbench.data.images.looks": "what settings are suggested by; they count as such",
    "ltbench.engine.fitting.spent": "counts what a training takes",
    "ltbench.engine.keys.keys": "makes keys, in which its own changes show",
    "ltbench.errors": "an error ends a run: it leaves no number",
    "ltbench.registry.manager": "finds plugins; what is used of them counts by its own code",
    "ltbench.plugin": "names and targets of what plugins provide; the class that is used counts, and its code",
    "ltbench.settings.recipe_files": "finds recipes and what a method requires; settings and required stages count as such",
    "ltbench.registry.lookup": "as ltbench.registry.manager",
}
"""Modules that are not counted, nor what they import, and why they decide no number. A plugin's own: see :func:`_stops`."""


def stage_code(method: type[Method], dataset: type[Dataset]) -> dict[str, str]:
    """What decides the weights and logits of a stage. Raises as :func:`code_of`."""
    return code_of([method, dataset, *STAGE])


def feature_code(backbone: nn.Module) -> dict[str, str]:
    """What computes features with this backbone once there are images. Raises as :func:`code_of`."""
    _, code = _code()
    return code_of([*FEATURES, *filter(code.own, {type(module) for module in backbone.modules()})])


def evaluation_code(fuser: type[Fuser]) -> dict[str, str]:
    """What makes a record of stored logits. Raises as :func:`code_of`."""
    return code_of([fuser, *EVALUATION])


def code_of(roots: Iterable[Root]) -> dict[str, str]:
    """Module, or data file beside one -> digits of its sha256: all that the roots come to.

    Raises:
        PluginError: the source of a root cannot be found, or a module is no Python.
        DataError: the cache folder cannot be written.
    """
    memo, code = _code()
    found = code.of(roots)
    memo.save()
    return found


def _code() -> tuple[Memo, Code]:
    packages = frozenset({"ltbench", *map(_package, plugins().records)})
    return _shared(cache_dir() / "code", packages, _stops())


@cache
def _shared(folder: Path, packages: frozenset[str], stops: frozenset[str]) -> tuple[Memo, Code]:
    """Those of the process: what it has read once holds for as long as it runs."""
    memo = Memo(folder)
    return memo, Code(packages, stops, memo.syntax)


def _stops() -> frozenset[str]:
    """:data:`STOPS`, and modules of plugins' packages of which the plugin says so (``ltbench_outside_keys``)."""
    own = {
        name for record in plugins().records for name in record.outside_keys if name.startswith(f"{_package(record)}.")
    }
    return frozenset({*STOPS, *own})


def _package(record: PluginRecord) -> str:
    """The package, or the file's module, that a plugin is."""
    return re.split(r"[.:]", Path(record.source).name)[0]
