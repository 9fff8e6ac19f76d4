"""The public names as their sources have them, read by griffe: nothing is imported, annotations are as they were written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

import ltbench
from ltbench.reference.public import MODULES

Object = Any
"""Of griffe: a module, class, function or attribute. Its classes share no base that has all that is asked of it here."""


class Source:
    """What the page describes.

    Attributes:
        modules: the public ones by name.
        described: public path -> object, each once, in the order of the page: where it is defined, if that module is public,
            else where it is exported first.
        elsewhere: public module -> public paths of those of its names that are described at another module.
    """

    def __init__(self) -> None:
        loader = griffe.GriffeLoader(
            search_paths=[Path(ltbench.__file__).parents[1]],
            docstring_parser=griffe.Parser.google,
            docstring_options={"returns_named_value": False},
            allow_inspection=False,
        )
        package: Object = loader.load("ltbench")
        loader.resolve_aliases()
        self.modules: dict[str, Object] = {
            name: package[name.partition(".")[2]] if "." in name else package for name in MODULES
        }
        self._homes = dict(reversed(list(self._places())))
        self.described: dict[str, Object] = {}
        self.elsewhere: dict[str, list[str]] = {name: [] for name in self.modules}
        for module, name, canonical in self._exported():
            if (home := self._homes[canonical]) == f"{module}.{name}":
                found = self.modules[module][name]
                self.described[home] = found.final_target if found.is_alias else found
            else:
                self.elsewhere[module].append(home)

    def _exported(self) -> Iterator[tuple[str, str, str]]:
        """Module, name and canonical path of each public name."""
        for module, found in self.modules.items():
            for name in map(str, found.exports):
                yield module, name, found[name].canonical_path

    def _places(self) -> Iterator[tuple[str, str]]:
        """Canonical path and public path of each public name, the best place first."""
        exported = list(self._exported())
        for module, name, canonical in sorted(exported, key=lambda each: each[2] != f"{each[0]}.{each[1]}"):
            yield canonical, f"{module}.{name}"

    def home(self, path: str) -> str | None:
        """The public path of what has this path (the one of its definition, or a public one); None: it is not public."""
        if path in self.modules or path in self.described:
            return path
        if path in self._homes:
            return self._homes[path]
        owner, _, name = path.rpartition(".")
        above = self.home(owner) if owner else None
        if above in self.modules:
            return (
                self._homes[self.modules[above][name].canonical_path] if name in self.modules[above].exports else None
            )
        return f"{above}.{name}" if above and name in self.described[above].all_members else None

    def referred(self, name: str, scope: Object) -> str | None:
        """The public path of what a docstring of ``scope`` calls ``name``; None: there is none."""
        if name.startswith("ltbench."):
            return self.home(name)
        first, _, rest = name.partition(".")
        owner = scope if scope.is_class else scope.parent
        if owner is not None and owner.is_class and not rest and name in owner.all_members:
            return self.home(f"{owner.canonical_path}.{name}")
        try:
            return self.home(".".join(part for part in (scope.resolve(first), rest) if part))
        except griffe.NameResolutionError:
            return None

    def named_in(self, expression: Object) -> list[str]:
        """Paths of this package's names in an annotation, as they are defined."""
        if not isinstance(expression, griffe.Expr):
            return []
        names = [expression] if isinstance(expression, griffe.ExprName) else expression.iterate(flat=True)
        found = [each.canonical_path for each in names if isinstance(each, griffe.ExprName)]
        return [path for path in dict.fromkeys(map(self._target, found)) if path.startswith("ltbench.")]

    def types_of(self, found: Object) -> list[str]:
        """Paths of this package's types in the signature of a function, the fields of a class, or an alias."""
        if found.is_class:
            parts = [each.annotation for name, each in found.members.items() if each.is_attribute and name[0] != "_"]
        elif found.is_function:
            parts = [*(each.annotation for each in found.parameters), found.returns]
        else:
            parts = [found.annotation, found.value]
        found_in = (path for part in parts for path in self.named_in(part))
        named = {path: path.rpartition(".")[2] for path in found_in}
        return [path for path, name in named.items() if not name.startswith("_") and not name.isupper()]

    def is_made(self, found: Object) -> bool:
        """Whether authors make objects of a class: every argument of its constructor is of a public type."""
        made = found.all_members.get("__init__") if found.is_class else None
        return made is None or all(map(self.home, self.types_of(made)))

    def _target(self, path: str) -> str:
        """Where a name of this package is defined that may have been imported; empty for a type variable."""
        if not path.startswith("ltbench."):
            return path
        found = self.modules["ltbench"][path.removeprefix("ltbench.")]
        return "" if found.is_attribute and str(found.value).startswith("TypeVar(") else found.canonical_path
