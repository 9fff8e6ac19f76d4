"""ltbench: a benchmark harness for long-tailed image recognition. The names below are for use from Python.

Each is imported on first use, so that ``import ltbench`` is cheap: no torch, no pandas. ``ltbench.__version__`` is the version.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltbench.api import get_dataset, get_fuser, get_method
    from ltbench.config import RunConfig
    from ltbench.engine.run import run, run_records
    from ltbench.errors import StopRun
    from ltbench.fuser import Fuser, MemberLogits
    from ltbench.method import Member, Method
    from ltbench.plugin import DatasetSpec, FuserSpec, MethodSpec, hookimpl
    from ltbench.results.record import Record
    from ltbench.results.store import load_results
    from ltbench.statistics.metrics import fold_accuracy

    __version__: str

__all__ = [
    "DatasetSpec",
    "Fuser",
    "FuserSpec",
    "Member",
    "MemberLogits",
    "Method",
    "MethodSpec",
    "Record",
    "RunConfig",
    "StopRun",
    "__version__",
    "fold_accuracy",
    "get_dataset",
    "get_fuser",
    "get_method",
    "hookimpl",
    "load_results",
    "run",
    "run_records",
]

_HOMES = {
    "api": ("get_dataset", "get_fuser", "get_method"),
    "config": ("RunConfig",),
    "engine.run": ("run", "run_records"),
    "errors": ("StopRun",),
    "fuser": ("Fuser", "MemberLogits"),
    "method": ("Member", "Method"),
    "statistics.metrics": ("fold_accuracy",),
    "plugin": ("DatasetSpec", "FuserSpec", "MethodSpec", "hookimpl"),
    "results.record": ("Record",),
    "results.store": ("load_results",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ltbench")
    if name in _HOME_OF:
        return getattr(import_module(f"ltbench.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ltbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
