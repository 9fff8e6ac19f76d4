"""Finds plugins, keeps each one's failure to itself, and says what became of every one of them.

pluggy's own loader lets one failing import end the program and passes over a second distribution that reuses the name
of an entry point. Here each entry point is imported in its own ``try`` and each plugin is called alone.

Environment: ``LTBENCH_DISABLE_PLUGINS`` lists plugins to leave out, by distribution, by entry point or as
``distribution:entry_point``, separated by commas; with ``LTBENCH_STRICT_PLUGINS=1`` a broken or incompatible plugin is
an error.
"""

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import pluggy

from ltbench import hookspecs
from ltbench.errors import LtbenchError, PluginError, StopRun, UsageError, did_you_mean, out_of_memory
from ltbench.plugin import API_VERSION, DatasetSpec, FuserSpec, MethodSpec, Spec
from ltbench.registry.discovery import Candidate, from_entry_points, from_file
from ltbench.registry.lookup import PluginRecord, Registry, Status, normalized, one_line

_REGISTRATION: dict[str, type[Spec]] = {
    "ltbench_methods": MethodSpec,
    "ltbench_fusers": FuserSpec,
    "ltbench_datasets": DatasetSpec,
}

STOPPING = ("ltbench_before_run", "ltbench_after_epoch", "ltbench_after_record")
"""Hooks in which :class:`ltbench.StopRun` ends the run. Elsewhere it is a failure like any other."""


class Plugins:
    """The plugins of this process and what they registered.

    Attributes:
        records: what became of each plugin, the unusable ones included.
        methods, fusers, datasets: what can be named on the command line.
    """

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self.methods: Registry[MethodSpec] = Registry("method", self.records)
        self.fusers: Registry[FuserSpec] = Registry("fuser", self.records)
        self.datasets: Registry[DatasetSpec] = Registry("dataset", self.records)
        self._registries: dict[str, Registry[Any]] = {r.kind: r for r in (self.methods, self.fusers, self.datasets)}
        self._manager = pluggy.PluginManager("ltbench")
        self._manager.add_hookspecs(hookspecs)
        self._hooks = {name for name in vars(hookspecs) if name.startswith("ltbench_")}
        self._loaded: list[tuple[PluginRecord, object]] = []
        self._warned: set[tuple[str, str]] = set()

    @classmethod
    def load(cls, files: Sequence[Path] = ()) -> "Plugins":
        """Everything that is installed, and the given files. A plugin that fails is recorded; it stops nobody else."""
        self = cls()
        disabled = [
            entry.strip() for entry in os.environ.get("LTBENCH_DISABLE_PLUGINS", "").split(",") if entry.strip()
        ]
        for candidate in [*from_entry_points(), *map(from_file, files)]:
            self.records.append(candidate.record)
            if _is_disabled(candidate.record, disabled):
                candidate.record.status = "disabled"
                candidate.record.error = "named in LTBENCH_DISABLE_PLUGINS"
            else:
                self._load(candidate)
        self._mark_conflicts()
        return self

    def lost(self) -> list[PluginRecord]:
        """The broken and the incompatible ones."""
        return [record for record in self.records if record.status in ("broken", "incompatible")]

    def call(self, hook: str, **kwargs: Any) -> list[Any]:
        """What the plugins' implementations of ``hook`` return, in one list; what they yield is put into it one by one.

        Each is called alone. One that fails is recorded as broken and costs a line on stderr the first time. A run ends when
        all have been called.

        Raises:
            StopRun: one asks for it, in a hook that may (:data:`STOPPING`); of several the first.
            PluginError: one failed, and ``LTBENCH_STRICT_PLUGINS`` is 1.
        """
        answers, stops = [], []
        for record, values, error in self._calls(hook, kwargs):
            answers += values
            if error is None:
                continue
            if _may_stop(error, hook):
                stops.append(StopRun(error.reason, str(record)))
            elif is_strict():
                raise PluginError(f"{_line(record)} (LTBENCH_STRICT_PLUGINS is set.)") from error
            elif (record.source, hook) not in self._warned:
                self._warned.add((record.source, hook))
                _warn(record)
        if stops:
            raise stops[0]
        return answers

    def checks(self) -> list[tuple[PluginRecord, list[Any]]]:
        """What each plugin's ``ltbench_checks`` says. One that fails is recorded as broken and left out."""
        return [(record, values) for record, values, error in self._calls("ltbench_checks", {}) if error is None]

    def import_targets(self) -> None:
        """Import every class that is registered, and mark as broken the plugins whose class cannot be."""
        for registry in self._registries.values():
            for entry in registry.entries():
                try:
                    registry.load(entry.qualified)
                except PluginError as error:
                    _mark_broken(entry.plugin, error)

    def _calls(
        self, hook: str, kwargs: dict[str, Any]
    ) -> Iterator[tuple[PluginRecord, list[Any], BaseException | None]]:
        """Each plugin that implements ``hook``: its answers, or its error, which is noted in its record unless it may stop."""
        implementing = {id(impl.plugin) for impl in getattr(self._manager.hook, hook).get_hookimpls()}
        for record, plugin in self._loaded:
            if id(plugin) in implementing:
                values: list[Any] = []
                error: BaseException | None = None
                try:
                    values = list(self._call_alone(plugin, hook, **kwargs))
                except (Exception, SystemExit) as caught:
                    error = caught
                    if not _may_stop(error, hook):
                        _mark_broken(record, error, f"{hook} failed: ")
                yield record, values, error

    def _load(self, candidate: Candidate) -> None:
        record = candidate.record
        specs: list[Spec] = []
        try:
            plugin = candidate.load()
            wanted = getattr(plugin, "ltbench_api_version", API_VERSION)
            if wanted != API_VERSION:
                record.status = "incompatible"
                record.error = f"it needs version {wanted} of the plugin interface, this ltbench has {API_VERSION}"
                return
            record.outside_keys = dict(getattr(plugin, "ltbench_outside_keys", {}))
            self._register(plugin, record)
            for hook, expected in _REGISTRATION.items():
                for spec in self._call_alone(plugin, hook):
                    self._check(spec, expected, hook, specs, record)
                    specs.append(spec)
            self._loaded.append((record, plugin))
        except (Exception, SystemExit) as error:
            _mark_broken(record, error)
            if self._manager.has_plugin(_key(record)):
                self._manager.unregister(name=_key(record))
        for spec in specs:
            self._registries[spec.kind].add(spec, record)

    def _register(self, plugin: object, record: PluginRecord) -> None:
        if self._manager.is_registered(plugin):
            raise _Refused(f"{record.source} is already registered by another plugin")
        self._manager.register(plugin, name=_key(record))
        callers = self._manager.get_hookcallers(plugin) or []
        for caller in callers:
            if not caller.has_spec():
                raise _Refused(f"there is no hook '{caller.name}'.{did_you_mean(caller.name, self._hooks)}")
        unmarked = {name for name in self._hooks if callable(getattr(plugin, name, None))} - {
            caller.name for caller in callers
        }
        if unmarked:
            raise _Refused(f"{min(unmarked)} is not marked with @hookimpl (from ltbench.plugin import hookimpl)")
        if not callers:
            raise _Refused(f"it implements no hook; does the entry point name the right module ({record.source})?")

    def _call_alone(self, plugin: object, hook: str, **kwargs: Any) -> Iterator[Any]:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        for result in self._manager.subset_hook_caller(hook, others)(**kwargs):
            if isinstance(result, Iterable) and not isinstance(result, str):
                yield from result
            else:
                yield result

    def _check(self, spec: Any, expected: type[Spec], hook: str, before: list[Spec], record: PluginRecord) -> None:
        if not isinstance(spec, expected):
            raise _Refused(f"{hook} must yield {expected.__name__} records, got {spec!r}")
        if any((other.kind, other.name) == (spec.kind, spec.name) for other in before):
            raise _Refused(f"{hook} yields '{spec.name}' twice")
        own = normalized(record.distribution)
        for other in self._registries[spec.kind].entries():
            if other.spec.name == spec.name and normalized(other.plugin.distribution) == own:
                raise _Refused(f"{spec.kind} '{spec.name}' is already registered by {other.plugin}; rename one of them")

    def _mark_conflicts(self) -> None:
        for registry in self._registries.values():
            for entry in registry.entries():
                if rivals := registry.rivals(entry):
                    providers = ", ".join(str(rival.plugin) for rival in rivals)
                    _note(entry.plugin, "conflict", f"{registry.kind} '{entry.spec.name}' also comes from {providers}")


class _Refused(Exception):
    """A plugin breaks a rule of the interface."""


_files: tuple[Path, ...] = ()
_loaded: Plugins | None = None


def use_plugin_files(files: Sequence[Path]) -> None:
    """Take these files for plugins, too; plugins are looked for anew when they are next needed."""
    global _files, _loaded
    _files, _loaded = tuple(files), None


def add_plugin_file(file: Path) -> None:
    """Take this file for a plugin, too, beside those that were named before."""
    if file.resolve() not in [known.resolve() for known in _files]:
        use_plugin_files([*_files, file])


@contextmanager
def plugin_files(files: Iterable[Path]) -> Iterator[None]:
    """Take these files for plugins, beside those that are, as long as the block runs.

    Raises:
        UsageError: one is not there.
    """
    global _files, _loaded
    before = _files, _loaded
    more = [path.resolve() for path in files]
    if absent := [path for path in more if not path.is_file()]:
        raise UsageError(f"plugin file {absent[0]}: no such file.")
    known = [path.resolve() for path in _files]
    if new := [path for path in dict.fromkeys(more) if path not in known]:
        use_plugin_files([*_files, *new])
    try:
        yield
    finally:
        if new:
            _files, _loaded = before


def examine_plugins() -> Plugins:
    """The plugins of this process, found at the first call; for those who report on them. Says and refuses nothing."""
    global _loaded  # noqa: PLW0603
    if _loaded is None:
        _loaded = Plugins.load(_files)
    return _loaded


def plugins() -> Plugins:
    """The plugins of this process, found at the first call, when each broken one costs a line on stderr.

    Raises:
        PluginError: one is broken or incompatible, and ``LTBENCH_STRICT_PLUGINS`` is 1.
    """
    new = _loaded is None
    found = examine_plugins()
    lost = found.lost()
    if lost and is_strict():
        raise PluginError(f"{' '.join(_line(record) for record in lost)} (LTBENCH_STRICT_PLUGINS is set.)")
    if new:
        for record in lost:
            _warn(record)
    return found


@contextmanager
def plugin_code(kind: str, who: str | type, doing: str) -> Iterator[None]:
    """The boundary around code of a plugin: what it raises there is the plugin's failure, and says so.

    Errors meant for users, an interrupt, a hook's :class:`ltbench.StopRun` and a lack of memory stay what they are;
    ``sys.exit``, or a StopRun of the code's own, ends no run.

    Args:
        kind: ``method``, ``fuser`` or ``dataset``.
        who: its name, or its class.
        doing: what it was called for, e.g. ``build``.

    Raises:
        PluginError: the code raised anything else; the error is its cause.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, LtbenchError) and not (isinstance(error, StopRun) and not error.plugin):
            raise
        if no_memory := out_of_memory(error):
            raise no_memory from error
        raise PluginError(
            f"{_named(kind, who)} failed in {doing} with {one_line(error)}. 'ltbench --debug ...' shows the traceback."
        ) from error


def _named(kind: str, who: str | type) -> str:
    """``method 'x' of plugin 'y' (z 1.0)``, as far as it is registered."""
    registry: Registry[Any] = getattr(examine_plugins(), f"{kind}s")
    names = {who} if isinstance(who, str) else {f"{who.__module__}:{who.__qualname__}"}
    for entry in registry.entries():
        if names & {registry.name_of(entry), entry.qualified, entry.spec.target}:
            return f"{kind} '{registry.name_of(entry)}' of {entry.plugin}"
    return f"{kind} '{who if isinstance(who, str) else who.__name__}'"


def _may_stop(error: BaseException, hook: str) -> TypeGuard[StopRun]:
    return hook in STOPPING and isinstance(error, StopRun)


def is_strict() -> bool:
    return os.environ.get("LTBENCH_STRICT_PLUGINS", "0") not in ("", "0")


def _key(record: PluginRecord) -> str:
    return f"{record.distribution}:{record.name} = {record.source}"


def _is_disabled(record: PluginRecord, disabled: Sequence[str]) -> bool:
    own = {record.name, normalized(record.distribution), f"{normalized(record.distribution)}:{record.name}"}
    for entry in disabled:
        distribution, colon, name = entry.partition(":")
        if own & {entry, f"{normalized(distribution)}{colon}{name}"}:
            return True
    return False


def _mark_broken(record: PluginRecord, error: BaseException, doing: str = "") -> None:
    """Add ``error`` to what is wrong; the traceback is that of the plugin's own exception, if there is one."""
    own = error.__cause__ if isinstance(error, PluginError) else error
    message = str(error).rstrip(".") if isinstance(error, _Refused | PluginError) else one_line(error)
    _note(record, "broken", doing + message)
    if own is not None and not isinstance(own, _Refused):
        record.traceback = record.traceback or "".join(traceback.format_exception(own))


def _note(record: PluginRecord, status: Status, message: str) -> None:
    """Set the status; what was noted under the same status stays."""
    earlier = record.error if record.status == status else ""
    if message not in earlier:
        record.status, record.error = status, f"{earlier}; {message}" if earlier else message


def _line(record: PluginRecord) -> str:
    return f"{record} is {record.status}: {record.error.rstrip('.')}."


def _warn(record: PluginRecord) -> None:
    print(f"ltbench: {_line(record)} See 'ltbench doctor'.", file=sys.stderr)
