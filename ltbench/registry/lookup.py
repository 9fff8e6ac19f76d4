"""What plugins provide, by name: methods, fusers, datasets. A name's class is imported when it is used, not before."""

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from typing import Any, Generic, Literal, TypeVar

from ltbench.errors import LtbenchError, PluginError, UsageError, did_you_mean
from ltbench.plugin import Origin, Spec

S = TypeVar("S", bound=Spec)

Status = Literal["ok", "broken", "incompatible", "disabled", "conflict"]

_BASES = {"method": "ltbench.method:Method", "fuser": "ltbench.fuser:Fuser", "dataset": "ltbench.data.base:Dataset"}


@dataclass
class PluginRecord:
    """What became of one plugin.

    Attributes:
        name: of the entry point, or of the file without its suffix.
        distribution: the installed package that brought it, or the file's name.
        version: of the distribution; empty for a file.
        source: the entry point's value (``package.module``), or the file's path.
        status: ``conflict``: usable, but a name of it is also another plugin's.
        error: one line; empty where there is none.
        traceback: of a plugin that raised.
        outside_keys: modules of the plugin that decide no number, and why (its attribute ``ltbench_outside_keys``): a change
            in them trains nothing again.
    """

    name: str
    distribution: str
    version: str
    source: str
    status: Status = "ok"
    error: str = ""
    traceback: str = ""
    outside_keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        return self.status in ("ok", "conflict")

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({self.provider})"

    @property
    def provider(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True)
class Registered(Generic[S]):
    """A spec and the plugin that registered it."""

    spec: S
    plugin: PluginRecord

    @property
    def qualified(self) -> str:
        """``distribution:name``, which stays unambiguous whatever else is installed."""
        return f"{self.plugin.distribution}:{self.spec.name}"


class Registry(Generic[S]):
    """Everything of one kind that the plugins registered.

    Args:
        kind: ``method``, ``fuser`` or ``dataset``.
        plugins: all plugins, for messages about those that could not be loaded.
    """

    def __init__(self, kind: str, plugins: Sequence[PluginRecord]) -> None:
        self.kind = kind
        self._plugins = plugins
        self._entries: list[Registered[S]] = []
        self._withheld: list[Registered[S]] = []

    def add(self, spec: S, plugin: PluginRecord) -> None:
        """Make ``spec`` known, or remember, for messages, that ``plugin`` would provide it if it were usable."""
        (self._entries if plugin.usable else self._withheld).append(Registered(spec, plugin))

    def entries(self) -> list[Registered[S]]:
        """All of them, clashing ones included, in the order of registration."""
        return list(self._entries)

    def name_of(self, entry: Registered[S]) -> str:
        """What to type for it: the bare name, or ``distribution:name`` where another plugin provides that name too."""
        return entry.qualified if self.rivals(entry) else entry.spec.name

    def rivals(self, entry: Registered[S]) -> list[Registered[S]]:
        """The others of the same name."""
        return [other for other in self._entries if other.spec.name == entry.spec.name and other is not entry]

    def names(self) -> list[str]:
        """What can be typed, in the order of registration."""
        return [self.name_of(entry) for entry in self._entries]

    def get(self, name: str) -> Registered[S]:
        """The one of that name, bare or qualified as ``distribution:name``.

        Raises:
            UsageError: nobody provides it.
            PluginError: several plugins do, or one that could not be loaded.
        """
        found = self._matching(name, self._entries)
        if len(found) > 1:
            choices = ", ".join(f"'{entry.qualified}' ({entry.plugin.provider})" for entry in found)
            raise PluginError(
                f"{self.kind} '{name}' is provided by {len(found)} plugins. Say which: {choices}; "
                "or leave one out with LTBENCH_DISABLE_PLUGINS=DISTRIBUTION."
            )
        if not found:
            raise self._unknown(name)
        return found[0]

    def load(self, name: str) -> type[Any]:
        """The class of that name, imported now.

        Raises:
            UsageError, PluginError: as :meth:`get`.
            PluginError: it cannot be imported, or is no class of this kind.
        """
        entry = self.get(name)
        where = f"{self.kind} '{name}' of {entry.plugin} cannot be used: "
        try:
            base, cls = _import_target(_BASES[self.kind]), _import_target(entry.spec.target)
        except (Exception, SystemExit) as error:
            raise PluginError(f"{where}importing {entry.spec.target} failed with {one_line(error)}.") from error
        if problem := _unfit(cls, base):
            raise PluginError(f"{where}{entry.spec.target} {problem}.")
        return cls

    def origin(self, name: str) -> Origin | None:
        """Where the files of the dataset of that name come from, if its spec says so. Raises as :meth:`load`."""
        entry = self.get(name)
        target = getattr(entry.spec, "origin", "")
        try:
            return _import_target(target) if target else None
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.kind} '{name}' of {entry.plugin}: importing {target} failed with {one_line(error)}."
            ) from error

    def entries_of(self, cls: type[Any]) -> list[Registered[S]]:
        """What registers this very class. Nothing is imported: a class that is at hand was imported already."""
        return [entry for entry in self._entries if _imported(entry.spec.target) is cls]

    def _matching(self, name: str, entries: Sequence[Registered[S]]) -> list[Registered[S]]:
        distribution, colon, bare = name.rpartition(":")
        return [
            entry
            for entry in entries
            if entry.spec.name == bare
            and (not colon or normalized(entry.plugin.distribution) == normalized(distribution))
        ]

    def _unknown(self, name: str) -> LtbenchError:
        lost = [plugin for plugin in self._plugins if not plugin.usable]
        known = self.names()
        blamed = next((entry.plugin for entry in self._matching(name, self._withheld)), None) or _named_like(name, lost)
        if blamed is not None:
            why = f"{blamed.status}: {blamed.error}" if blamed.error else blamed.status
            return PluginError(
                f"{self.kind} '{name}' needs {blamed}, which is {why.rstrip('.')}. See 'ltbench doctor'."
            )
        if not known:
            message = none_installed(self.kind)
        else:
            message = f"unknown {self.kind} '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}."
        if lost:
            message += (
                f" Not loaded: {', '.join(f'{plugin.name} of {plugin.provider} ({plugin.status})' for plugin in lost)}."
            )
        return UsageError(message)


def is_transductive(registry: Registry[Any], cls: type[Any]) -> bool:
    """Whether a method or fuser of this class is declared as ``transductive``."""
    return any(entry.spec.transductive for entry in registry.entries_of(cls))


def none_installed(kind: str) -> str:
    """What to say where there is nothing of a kind."""
    return (
        f"no {kind} is installed. Plugins are installed like any package (pip install NAME; ltbench brings its own) "
        "or given as a file with --plugin FILE; 'ltbench doctor' shows what was found."
    )


def normalized(distribution: str) -> str:
    """A distribution's name as package indices compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def one_line(error: BaseException) -> str:
    """``TypeName: message`` on one line, without a full stop."""
    message = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _named_like(name: str, plugins: Sequence[PluginRecord]) -> PluginRecord | None:
    """The plugin that a name speaks of: ``distribution:...``, or the very name of the plugin or its distribution."""
    spoken = normalized(name.rpartition(":")[0] or name)
    return next(
        (plugin for plugin in plugins if spoken in (normalized(plugin.name), normalized(plugin.distribution))), None
    )


def _imported(target: str) -> Any:
    """What a target stands for, if its module has been imported; else None."""
    module, _, attribute = target.partition(":")
    return reduce(lambda found, name: getattr(found, name, None), attribute.split("."), sys.modules.get(module))


def _import_target(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return reduce(getattr, attribute.split("."), import_module(module))


def _unfit(cls: Any, base: Any) -> str:
    """Why ``cls`` cannot serve as a ``base``; empty if it can."""
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        return f"is no subclass of {base.__module__}.{base.__qualname__}"
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        return f"does not define {', '.join(missing)}"
    from pydantic import BaseModel

    name, expected = ("Config", base.Config) if hasattr(base, "Config") else ("Options", BaseModel)
    settings: Any = getattr(cls, name)
    if not (inspect.isclass(settings) and issubclass(settings, expected)):
        return f"has a {name} that is no subclass of {expected.__module__}.{expected.__qualname__}"
    return ""
