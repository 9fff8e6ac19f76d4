"""One module's source: a hash of what it does, and the other modules and files that it speaks of. Nothing is imported.

The hash is over the syntax tree. What only people or type checkers read is left out: comments, formatting, docstrings
(and the strings below attributes), descriptions of settings, blocks under ``if TYPE_CHECKING``. So are the hooks that
register methods, fusers and datasets: what they say of a method decides its class, its settings and what it requires,
which have places of their own in a key, and what they say of the others beside it decides nothing.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

_UNREAD = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of nodes that change nothing: what a name's place says already, how a string was prefixed, comments."""

_REGISTRATION = frozenset({"ltbench_methods", "ltbench_fusers", "ltbench_datasets", "ltbench_checks"})

_PATH = re.compile(r"(?!/)[\w./-]{1,200}")


@dataclass(frozen=True)
class Syntax:
    """What one source says.

    Attributes:
        digest: sha256 (hex) of the tree without what is left out.
        names: dotted names that it imports or reaches through an imported name, relative ones with their leading dots:
            ``torch``, ``ltbench.data.base.Dataset``, ``..uniform.Uniform``, ``.helper``.
        typed: of a module with a ``__getattr__``, which imports lazily: name -> dotted name, as it imports them for type
            checkers.
        texts: of a module that asks where it lies: texts in it that could be names of files or folders.
    """

    digest: str
    names: tuple[str, ...] = ()
    typed: dict[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


def read_syntax(source: bytes) -> Syntax:
    """What a module's source says. Raises SyntaxError or ValueError (a null byte) where it is no Python."""
    tree, total, said = ast.parse(source), hashlib.sha256(), _Said()
    for entry in _walk(tree, said):
        if isinstance(entry, ast.AST):
            said.note(entry)
        token = f"({type(entry).__name__}" if isinstance(entry, ast.AST) else entry
        total.update(token.encode("utf-8", "surrogatepass") + b"\0")
    lazy = any(isinstance(entry, ast.FunctionDef) and entry.name == "__getattr__" for entry in tree.body)
    return Syntax(total.hexdigest(), said.names(), said.typed if lazy else {}, said.texts())


class _Said:
    """What the nodes of a tree speak of."""

    def __init__(self) -> None:
        self.typed: dict[str, str] = {}
        self._bound: dict[str, str] = {}
        self._names: set[str] = set()
        self._chains: set[tuple[str, str]] = set()
        self._texts: set[str] = set()
        self._beside = False

    def note(self, node: ast.AST) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                for name, bound, target in _imported(node):
                    self._names.add(target)
                    self._bound[name] = bound
            case ast.Attribute():
                self._note_chain(node)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if _last(func) in _IMPORTERS:
                self._names.add(name)
            case ast.Name(id="__file__" | "__path__" | "__spec__"):
                self._beside = True
            case ast.Constant(value=str(text)) if _PATH.fullmatch(text):
                self._texts.add(text)

    def note_typed(self, body: list[ast.stmt]) -> None:
        """Imports for type checkers."""
        for statement in body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.typed |= {name: bound for name, bound, _ in _imported(statement)}

    def _note_chain(self, node: ast.Attribute) -> None:
        parts, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            parts.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            self._chains.add((value.id, ".".join(reversed(parts))))

    def names(self) -> tuple[str, ...]:
        """See :class:`Syntax`; a name that another one goes on from is left out."""
        reached = {f"{self._bound[root]}.{rest}" for root, rest in self._chains if root in self._bound}
        found = sorted(self._names | reached)
        return tuple(one for one, after in pairwise([*found, ""]) if one[-1] == "." or not after.startswith(f"{one}."))

    def texts(self) -> tuple[str, ...]:
        reads = self._beside or any(name.startswith(_RESOURCES) for name in self._names)
        return tuple(sorted(self._texts)) if reads else ()


_IMPORTERS = frozenset({"import_module", "__import__"})
_RESOURCES = ("importlib.resources", "pkgutil")


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str]]:
    """(name in this module, what it stands for, what is imported), both dotted."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            yield alias.asname or first, alias.name if alias.asname else first, alias.name
        return
    module = "." * node.level + (node.module or "")
    for alias in node.names:
        joined = module if alias.name == "*" else f"{module}{'.' if node.module else ''}{alias.name}"
        yield alias.asname or alias.name, joined, joined


@dataclass(frozen=True)
class _Mark:
    """Text between nodes."""

    text: str


def _walk(tree: ast.Module, said: _Said) -> Iterator[ast.AST | str]:
    """Nodes, and what stands between them, one to one with the tree that is hashed.

    Not recursive, as an expression may be deeper than Python's stack. Fields that are empty are left out: versions of
    Python differ in them.
    """
    stack: list[Any] = [tree]
    while stack:
        entry = stack.pop()
        if isinstance(entry, ast.AST):
            yield entry
            stack.append(_Mark(")"))
            for name, value in reversed([*ast.iter_fields(entry)]):
                kept = _kept(entry, value, said) if isinstance(value, list) else value
                if name not in _UNREAD and kept is not None and kept != []:
                    stack += [kept, _Mark(f"{name}=")]
        elif isinstance(entry, list):
            stack += reversed(entry)
        else:
            yield entry.text if isinstance(entry, _Mark) else repr(entry)


def _kept(parent: ast.AST, values: list[Any], said: _Said) -> list[Any]:
    """Arguments or statements without those that change nothing."""
    if isinstance(parent, ast.Call):
        of_setting = _last(parent.func) == "Field"
        return [v for v in values if not (of_setting and isinstance(v, ast.keyword) and v.arg == "description")]
    kept = []
    for value in values:
        if isinstance(value, ast.If) and _last(value.test) == "TYPE_CHECKING":
            said.note_typed(value.body)
            kept += _kept(parent, value.orelse, said)
        elif not _does_nothing(value):
            kept.append(value)
    return kept


def _does_nothing(statement: Any) -> bool:
    """A docstring or another bare text, ``pass``, a hook that registers."""
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.FunctionDef(name=name, decorator_list=decorators):
            return name in _REGISTRATION and any(_last(decorator) == "hookimpl" for decorator in decorators)
    return False


def _last(node: ast.AST) -> str:
    """The name itself, or the last part of a dotted one; of a call, what is called."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
