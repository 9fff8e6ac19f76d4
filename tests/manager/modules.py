"""Plugins made on the spot."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ltbench.plugin import DatasetSpec, FuserSpec, MethodSpec, Spec, hookimpl
from ltbench.registry.discovery import Candidate
from ltbench.registry.lookup import PluginRecord

_HOOK_OF: dict[type[Spec], str] = {
    MethodSpec: "ltbench_methods",
    FuserSpec: "ltbench_fusers",
    DatasetSpec: "ltbench_datasets",
}


def candidate(load: Callable[[], object], name: str = "plugin", distribution: str = "dist") -> Candidate:
    return Candidate(PluginRecord(name, distribution, "1.0", f"{distribution}.{name}"), load)


def having(name: str = "plugin", distribution: str = "dist", **attributes: Any) -> Candidate:
    """A plugin that is a module with these attributes."""
    module = ModuleType(name)
    vars(module).update(attributes)
    return candidate(lambda: module, name, distribution)


def registering(*specs: Spec, name: str = "plugin", distribution: str = "dist", **attributes: Any) -> Candidate:
    """A plugin that registers these."""
    hooks: dict[str, Any] = {}
    for kind, hook in _HOOK_OF.items():
        if chosen := [spec for spec in specs if isinstance(spec, kind)]:
            hooks[hook] = hookimpl(lambda chosen=chosen: iter(chosen))
    return having(name, distribution, **hooks, **attributes)
