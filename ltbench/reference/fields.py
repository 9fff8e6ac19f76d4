"""The settings of a pydantic model as a table."""

import re
from collections.abc import Iterator
from pydoc import locate
from typing import Any

from griffe import DocstringSectionKind
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ltbench.reference.source import Object
from ltbench.reference.text import Link, code, inline, quoted, table

_NO_LIMIT = 2**60
"""A bound beyond is that of the machine's integers."""

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def model_of(found: Object) -> type[BaseModel] | None:
    """The class itself where it is a pydantic model: what a field allows is known once the module has run."""
    cls = locate(found.canonical_path)
    return cls if isinstance(cls, type) and issubclass(cls, BaseModel) else None


def field_table(found: Object, link: Link) -> str:
    """The fields that a model defines: name, type and bounds, default, description. Empty where it is none, or has none."""
    rows = [[code(name), kind, default, inline(text, link)] for name, kind, default, text in described_fields(found)]
    return table(["field", "type", "default", "description"], rows) if rows else ""


def described_fields(found: Object) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and description of each field."""
    model = model_of(found)
    if model is None:
        return
    said = {
        entry.name: entry.description
        for section in (found.docstring.parsed if found.docstring else ())
        if section.kind is DocstringSectionKind.attributes
        for entry in section.value
    }
    for name, field in model.model_fields.items():
        if name in found.members:
            text = field.description or said.get(name, "")
            kind = re.sub(r"^Annotated\[(.+?), .*\]$", r"\1", str(found.members[name].annotation))
            yield name, _bounded(kind, field), _default(field), " ".join(text.split())


def _bounded(kind: str, field: FieldInfo) -> str:
    limits = [(sign, getattr(each, name, None)) for each in field.metadata for name, sign in _BOUNDS.items()]
    bounds = [f"{sign} {limit}" for sign, limit in limits if limit is not None and limit < _NO_LIMIT]
    return " ".join([code(quoted(kind)), ", ".join(bounds).replace("<", "\\<")]).strip()


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else code(quoted(written(field.get_default(call_default_factory=True))))


def written(value: Any) -> str:
    """A default as one would write it: of a model, what differs from its own defaults."""
    if not isinstance(value, BaseModel):
        return repr(value)
    given = [name for name in type(value).model_fields if name in value.model_fields_set]
    return f"{type(value).__name__}({', '.join(f'{name}={written(getattr(value, name))}' for name in given)})"
