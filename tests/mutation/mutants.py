"""One small wrong change at a time: the mutants of a module's source.

Each one replaces a single expression or statement, on the text, so that lines keep their numbers. Annotations, docstrings,
decorators, the texts of messages and descriptions are left alone: no number depends on them.
"""

import ast
import builtins
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

SWAPPED: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.RShift: (ast.LShift,),
    ast.LShift: (ast.RShift,),
}

_PAIRS = ["min max", "minimum maximum", "amin amax", "argmin argmax", "any all", "ceil floor", "zeros ones"]
_PAIRS += ["zeros_like ones_like", "new_zeros new_ones", "logaddexp add", "logsumexp sum", "sum mean", "log log1p"]
OTHER_NAME = {a: b for pair in _PAIRS for a, b in (pair.split(), pair.split()[::-1])}

NO_NUMBER = {"description", "summary", "paper", "text", "repr", "strict"}
"""Keywords whose values are words, or a check of what is so anyhow (zip's)."""


@dataclass(frozen=True)
class Mutant:
    """One changed module.

    Attributes:
        module: path of the file, relative to the root.
        where: the function it is in, ``Class.method`` or ``<module>``.
        line: from 1.
        old, new: the lines that differ, in one.
        source: the whole changed text.
    """

    module: str
    where: str
    line: int
    old: str
    new: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it while lines move."""
        return self.module, self.where, self.old, self.new


def mutants(module: str, source: str) -> list[Mutant]:
    """Every mutant of a module's text, in the order of the text, each text once."""
    found: dict[str, Mutant] = {}
    nodes = sorted(_nodes(ast.parse(source), ()), key=lambda pair: (pair[1].lineno, pair[1].col_offset))
    for where, node in nodes:
        for part, new in _changes(node):
            text = _patched(source, part, new)
            found.setdefault(text, Mutant(module, where, part.lineno, *_difference(source, text), text))
    return list(found.values())


def _nodes(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """(function, node) of all that may be changed below."""
    for child in _numeric_parts(node):
        inside = (*names, child.name) if isinstance(child, ast.FunctionDef | ast.ClassDef) else names
        if hasattr(child, "lineno"):
            yield ".".join(inside) or "<module>", child
        yield from _nodes(child, inside)


def _numeric_parts(node: ast.AST) -> Iterator[ast.AST]:
    """The children without annotations, decorators, docstrings and words."""
    if isinstance(node, ast.JoinedStr | ast.Raise):
        return
    skipped = {"annotation", "returns", "decorator_list", "bases"}
    for field, value in ast.iter_fields(node):
        if field in skipped:
            continue
        for child in value if isinstance(value, list) else [value]:
            is_words = (isinstance(child, ast.keyword) and child.arg in NO_NUMBER) or (
                isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            )
            if isinstance(child, ast.AST) and not is_words:
                yield child


def _changes(node: Any) -> Iterator[tuple[ast.AST, ast.AST]]:
    """(part, what takes its place): the node itself or a child."""
    match node:
        case ast.If(test=test) | ast.While(test=test) if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield test, ast.UnaryOp(ast.Not(), test)
        case ast.For(iter=values):
            yield values, ast.Tuple([], ast.Load())
        case ast.Return(value=ast.expr() as value):
            yield value, ast.Constant(None)
        case ast.AugAssign(op=op):
            yield node, ast.Pass()
            yield from ((node, _with(node, op=other())) for other in SWAPPED.get(type(op), ()))
        case ast.Expr() | ast.Raise() | ast.Break() | ast.Continue():
            yield node, ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield node, ast.Pass()
        case ast.expr():
            yield from ((node, new) for new in _expressions(node))


def _expressions(node: Any) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(ops=[*ops]):
            for place, op in enumerate(ops):
                for other in SWAPPED[type(op)]:
                    yield _with(node, ops=[*ops[:place], other(), *ops[place + 1 :]])
        case ast.BinOp(op=op) | ast.BoolOp(op=op):
            yield from (_with(node, op=other()) for other in SWAPPED.get(type(op), ()))
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
            if value == 1:
                yield ast.Constant(0)
        case ast.Call():
            yield from _calls(node)
        case ast.Subscript(slice=ast.Slice() as cut):
            for bound in ("lower", "upper"):
                if getattr(cut, bound) is not None:
                    yield _with(node, slice=_with(cut, **{bound: None}))
        case ast.IfExp(body=body, orelse=orelse):
            yield _with(node, body=orelse, orelse=body)


def _calls(node: ast.Call) -> Iterator[ast.Call]:
    """Another function of the same kind; a keyword left out."""
    match node.func:
        case ast.Name(id=name) if hasattr(builtins, OTHER_NAME.get(name, "")):
            yield _with(node, func=ast.Name(OTHER_NAME[name]))
        case ast.Attribute(attr=name) if name in OTHER_NAME:
            yield _with(node, func=_with(node.func, attr=OTHER_NAME[name]))
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg not in NO_NUMBER:
            yield _with(node, keywords=[other for other in node.keywords if other is not keyword])


def _with(node: Any, **fields: Any) -> Any:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _patched(source: str, node: Any, new: ast.AST) -> str:
    """The text with the node's own characters replaced. Columns of the syntax tree count bytes of UTF-8."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[node.end_lineno - 1][node.end_col_offset :] + b"".join(lines[node.end_lineno :])
    text = ast.unparse(new)
    if isinstance(new, ast.expr) and not isinstance(
        new, ast.Constant | ast.Call | ast.Name | ast.Subscript | ast.Tuple
    ):
        text = f"({text})"
    return (before + text.encode() + after).decode()


def _difference(source: str, text: str) -> tuple[str, str]:
    """The lines that differ, each side in one line."""
    old, new = source.splitlines(), text.splitlines()
    pairs = enumerate(zip(old, new, strict=False))
    same = next((number for number, pair in pairs if pair[0] != pair[1]), min(len(old), len(new)))
    del old[:same], new[:same]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return tuple(" ".join(" ".join(side).split()) for side in (old, new))
