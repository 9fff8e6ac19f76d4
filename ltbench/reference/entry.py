"""One public name as markdown: its signature, what its docstring says, what a class has."""

from collections.abc import Callable, Iterator

import griffe
from griffe import DocstringSectionKind as Kind

from ltbench.reference.fields import field_table, model_of
from ltbench.reference.public import is_private
from ltbench.reference.source import Object
from ltbench.reference.text import Link, block, code, entries, paragraphs, quoted, signature

LISTS = {
    Kind.parameters: "Arguments",
    Kind.attributes: "Attributes",
    Kind.raises: "Raises",
    Kind.returns: "Returns",
    Kind.yields: "Yields",
}
"""Sections of a docstring that are lists, and what they are called on the page."""

SHOWN = {"abstractmethod", "classmethod", "contextmanager", "staticmethod"}
"""Decorators that matter to whoever calls or overrides."""

LONGEST_VALUE = 80
"""Characters of a constant that is shown."""

Linked = Callable[[Object], Link]
"""How the names in the docstring of an object become links."""


def is_property(found: Object) -> bool:
    return bool(found.is_attribute and "property" in found.labels)


def own_entries(found: Object) -> list[Object]:
    """Members of a class that have a heading: methods, properties and classes in it, where there is something to say."""
    return [
        member
        for name, member in found.members.items()
        if not is_private(name)
        and (not member.is_attribute or is_property(member))
        and (member.docstring or member.is_class)
    ]


def as_in_base(found: Object) -> list[str]:
    """What a class defines and a base of it describes."""
    return [
        name
        for name, member in found.members.items()
        if not name.startswith("_") and not member.docstring and described_by_base(found, name)
    ]


def described_by_base(found: Object, name: str) -> bool:
    above = (base.members[name] for base in found.mro() if name in base.members)
    return any(member.docstring for member in above)


def described(found: Object, name: str, linked: Linked, base: Callable[[Object], str], made: bool) -> Iterator[str]:
    """Everything about ``found``, called ``name``, but for its heading and for what has a heading of its own.

    Args:
        base: a base class, as an expression -> markdown; empty where it says nothing.
        made: whether authors make such objects, of a class.
    """
    if found.is_class:
        yield block(quoted(f"class {_called(found, name) if made else name}"))
        if bases := [text for text in map(base, found.bases) if text]:
            yield f"Base: {', '.join(bases)}."
    elif found.is_function:
        yield block(
            quoted(
                "\n".join([*_decorators(found), signature(f"def {name}", parameters(found), str(found.returns or ""))])
            )
        )
    else:
        yield block(quoted("\n".join([*_decorators(found), _constant(found, name)])))
    yield from documented(found, linked(found))
    if found.is_class and (rows := field_table(found, linked(found))):
        yield rows
    if found.is_class and (inherited := as_in_base(found)):
        yield f"As in its base: {', '.join(map(code, inherited))}."


def documented(found: Object, link: Link) -> Iterator[str]:
    """What the docstring says, and the docstrings of a class's attributes."""
    lists: dict[str, list[tuple[str, str]]] = {}
    for section in found.docstring.parsed if found.docstring else ():
        if section.kind is Kind.text:
            yield from paragraphs(section.value, link)
        elif section.kind is Kind.attributes and found.is_class and model_of(found):
            continue
        elif section.kind in LISTS:
            rows = [(_before_colon(section.kind, entry), entry.description) for entry in section.value]
            lists.setdefault(LISTS[section.kind], []).extend(rows)
        else:
            raise ValueError(f"{found.path}: a docstring has no section {section.kind.value!r}")
    for name, member in found.members.items() if found.is_class else ():
        if member.is_attribute and member.docstring and not is_property(member) and not is_private(name):
            lists.setdefault("Attributes", []).append((_typed(name, member.annotation), member.docstring.value))
    for heading, rows in lists.items():
        yield entries(heading, rows, link)


def parameters(function: griffe.Function) -> list[str]:
    """Each as it is written, ``self`` and ``cls`` aside, with the marks of those that are by position or by name alone."""
    kinds, texts, starred = griffe.ParameterKind, [], False
    for each in function.parameters:
        if each.name in ("self", "cls") and not each.annotation:
            continue
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(each.kind, "")
        if each.kind is kinds.keyword_only and not starred:
            texts.append("*")
        starred = starred or each.kind in (kinds.keyword_only, kinds.var_positional)
        typed = f"{stars}{each.name}" + (f": {each.annotation}" if each.annotation else "")
        equals = " = " if each.annotation else "="
        texts.append(typed + (f"{equals}{each.default}" if each.default is not None and not stars else ""))
    return texts


def _called(found: Object, name: str) -> str:
    made = None if model_of(found) else found.all_members.get("__init__")
    return name if made is None else signature(name, parameters(made))


def _decorators(found: Object) -> list[str]:
    names = [str(each.value).rpartition(".")[2] for each in found.decorators] if found.is_function else found.labels
    return [f"@{name}" for name in names if name in SHOWN]


def _constant(found: Object, name: str) -> str:
    typed = f"{name}: {found.annotation}" if found.annotation else name
    value = str(found.value) if found.value is not None and not is_property(found) else ""
    return f"{typed} = {value}" if value and len(value) <= LONGEST_VALUE else typed


def _before_colon(kind: Kind, entry: Object) -> str:
    """Markdown of what is described: a name with its type, an error; nothing for what is returned."""
    if kind in (Kind.parameters, Kind.attributes):
        return _typed(entry.name, entry.annotation if kind is Kind.attributes else None)
    return code(str(entry.annotation)) if kind is Kind.raises else ""


def _typed(name: str, annotation: Object) -> str:
    return f"{code(name)} ({code(quoted(str(annotation)))})" if annotation else code(name)
