"""What a computation's code is: the modules that its roots import, and those that these import, each by its syntax tree.

Imports are followed in the source, so what happens to be loaded plays no part: those at the top and those within
functions, relative ones, submodules taken from a package, ``import_module`` of a written name, names that a package
imports lazily and says so to type checkers. Modules imported under names made at run time are not seen.

Followed are the module's own top-level package, the packages named to :class:`Code`, and what lies beside a module's
package or file, unless that is where packages are installed. The standard library and other installed packages are not.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import find_spec
from os.path import relpath
from pathlib import Path

from ltbench.common.canonical import digest
from ltbench.engine.keys.syntax import Syntax
from ltbench.errors import PluginError

Root = type | str
"""A class (with its bases) or the name of a module."""

DIGITS = 16
"""Of each module's hash that are kept."""

LARGEST = 64 * 2**20
"""Bytes of a data file up to which its content counts; of a larger one size and time of change do."""


@dataclass(frozen=True)
class Module:
    """Where a module lies.

    Attributes:
        file: None: a package without ``__init__``.
        folders: where its submodules are; empty: it is no package.
    """

    name: str
    file: Path | None
    folders: tuple[Path, ...] = ()

    @cached_property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @cached_property
    def container(self) -> Path | None:
        """The folder in which its top-level package or file lies."""
        above = self.name.count(".") + bool(self.folders)
        return self.file.parents[above] if self.file is not None else None


@dataclass(frozen=True)
class _Read:
    """A module as it was read.

    Attributes:
        spec: how it was loaded then; None: it was not. One that is loaded anew is read anew; else the first reading holds
            for the process: what was edited since is not what runs.
    """

    spec: ModuleSpec | None
    digest: str
    imports: tuple[Module, ...]
    files: dict[str, str]


class Code:
    """The code of computations.

    Args:
        packages: top-level packages that are followed wherever they are imported.
        stops: modules that are not counted, nor what they import.
        syntax: reads a source, see :func:`ltbench.engine.keys.syntax.read_syntax`.
    """

    def __init__(self, packages: Collection[str], stops: Collection[str], syntax: Callable[[bytes], Syntax]) -> None:
        self.packages, self.stops, self._syntax = frozenset(packages), frozenset(stops), syntax
        self._read: dict[str, _Read] = {}
        self._tops: dict[str, tuple[ModuleSpec, Module | None]] = {}
        self._within: dict[tuple[Path, str], Module] = {}

    def of(self, roots: Iterable[Root]) -> dict[str, str]:
        """Module, or data file beside it (``package/file.json``) -> digits of its sha256.

        Raises:
            PluginError: the source of a root cannot be found, or a module is no Python.
        """
        found: dict[str, str] = {}
        waiting = [module for root in roots for name in self._names(root) for module in self._root(name)]
        while waiting:
            module = waiting.pop()
            if module.name in found or module.name in self.stops or module.file is None:
                continue
            read = self._reading(module)
            found |= {module.name: read.digest, **read.files}
            waiting += read.imports
        return found

    def own(self, cls: type) -> bool:
        """Whether its module would be followed: it is of one of the packages, or not installed at all."""
        top = cls.__module__.partition(".")[0]
        if top in self.packages or top in sys.stdlib_module_names:
            return top in self.packages
        place = self._top(top)
        return place is not None and place.container is not None and not _installed(place.container)

    def _names(self, root: Root) -> list[str]:
        if isinstance(root, str):
            return [root]
        own = root.__module__.partition(".")[0]
        tops = {own, *self.packages}
        return [base.__module__ for base in root.__mro__ if base.__module__.partition(".")[0] in tops]

    def _root(self, name: str) -> list[Module]:
        """The module and the packages that it lies in."""
        top, *parts = name.split(".")
        places = [self._top(top)]
        for part in parts:
            places.append(self._below(places[-1], part) if places[-1] is not None else None)
        if places[-1] is None or places[-1].file is None:
            raise PluginError(f"the source of module '{name}' cannot be found, and by it a stage is known again.")
        return [place for place in places if place is not None]

    def _reading(self, module: Module) -> _Read:
        spec = getattr(sys.modules.get(module.name), "__spec__", None)
        known = self._read.get(module.name)
        if known is None or known.spec is not spec:
            known = self._read[module.name] = self._read_now(module, spec)
        return known

    def _read_now(self, module: Module, spec: ModuleSpec | None) -> _Read:
        assert module.file is not None
        syntax = self._syntax_of(module)
        imports = {found.name: found for name in syntax.names for found in self._imported(name, module)}
        return _Read(spec, syntax.digest[:DIGITS], tuple(imports.values()), _data_files(module, syntax.texts))

    def _syntax_of(self, module: Module) -> Syntax:
        if module.file is None:
            return Syntax("")
        try:
            content = module.file.read_bytes()
            if module.file.suffix != ".py":
                return Syntax(hashlib.sha256(content).hexdigest())
            return self._syntax(content)
        except OSError as error:
            raise PluginError(f"{module.file} cannot be read: {error.strerror}.") from error
        except (SyntaxError, ValueError, RecursionError) as error:
            where = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            what = error.msg if isinstance(error, SyntaxError) else error
            raise PluginError(f"module '{module.name}' is no Python ({module.file}{where}: {what}).") from error

    def _imported(self, name: str, importer: Module, seen: frozenset[str] = frozenset()) -> Iterator[Module]:
        """The modules that an import of this dotted name loads, as far as they are followed."""
        if name.startswith("."):
            name = _absolute(name, importer)
        top, *parts = name.split(".")
        place = self._followed(top, importer)
        for part in parts:
            if place is None:
                return
            yield place
            below = self._below(place, part)
            if below is None and place.folders and name not in seen:
                lazily = self._syntax_of(place).typed.get(part)
                if lazily is not None:
                    yield from self._imported(lazily, place, seen | {name})
            place = below
        if place is not None:
            yield place

    def _followed(self, top: str, importer: Module) -> Module | None:
        if top in sys.stdlib_module_names:
            return None
        place = self._top(top)
        if place is None and importer.container is not None and not _installed(importer.container):
            # A helper of a plugin file: it may be found only while the plugin looks for it.
            return _child(top, importer.container)
        if top in self.packages or top == importer.top or _beside(place, importer):
            return place
        return None

    def _below(self, place: Module, part: str) -> Module | None:
        for folder in place.folders:
            known = self._within.get((folder, part)) or _child(f"{place.name}.{part}", folder)
            if known is not None:
                self._within[folder, part] = known
                return known
        return None

    def _top(self, name: str) -> Module | None:
        """Where a top-level module is, as an import would find it now."""
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):  # ValueError: a module without a spec, as __main__
            spec = None
        if spec is None:
            return None
        if name not in self._tops or self._tops[name][0] is not spec:
            self._tops[name] = spec, _placed(name, spec)
        return self._tops[name][1]


def _placed(name: str, spec: ModuleSpec) -> Module | None:
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    folders = tuple(Path(folder) for folder in spec.submodule_search_locations or ())
    return Module(name, file, folders) if file is not None or folders else None


def _child(name: str, folder: Path) -> Module | None:
    """The module of this name in a folder: a package, a file, a compiled file, or a folder without ``__init__``."""
    path = folder / name.rpartition(".")[2]
    if (path / "__init__.py").is_file():
        return Module(name, path / "__init__.py", (path,))
    for suffix in (".py", *EXTENSION_SUFFIXES):
        if (file := path.with_name(path.name + suffix)).is_file():
            return Module(name, file)
    return Module(name, None, (path,)) if path.is_dir() else None


def _beside(place: Module | None, importer: Module) -> bool:
    folder = importer.container
    return place is not None and folder is not None and place.container == folder and not _installed(folder)


@cache
def _installed(folder: Path) -> bool:
    """Whether it is one in which packages are installed."""
    return folder.name in ("site-packages", "dist-packages") or folder in map(Path, sysconfig.get_paths().values())


def _absolute(name: str, importer: Module) -> str:
    """A relative name, seen from a module."""
    rest = name.lstrip(".")
    parts = importer.name.split(".")
    kept = parts[: len(parts) - (len(name) - len(rest)) + bool(importer.folders)]
    return ".".join([*kept, *([rest] if rest else [])])


def _data_files(module: Module, texts: Collection[str]) -> dict[str, str]:
    """The files that these texts name in the module's folder, in one above it within its package, or in a folder in those
    that they name, too, or name as a package: path from where the package lies -> digits of the content's sha256.
    """
    if module.file is None or module.container is None or not texts:
        return {}
    depth = len(module.file.relative_to(module.container).parts)
    folders = [module.file.parents[level] for level in range(max(1, depth - 1))]
    named = [folder / text for folder in folders for text in texts]
    named += [module.container / text.replace(".", "/") for text in texts]
    places = [*folders, *(path for path in named if path.is_dir())]
    files = {path for place in places for text in texts if (path := place / text).is_file()}
    return {Path(relpath(path, module.container)).as_posix(): _content(path) for path in files if path.suffix != ".py"}


def _content(file: Path) -> str:
    about = file.stat()
    if about.st_size > LARGEST:
        return digest([about.st_size, about.st_mtime_ns])[:DIGITS]
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:DIGITS]
