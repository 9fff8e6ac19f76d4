"""What a method, fuser or dataset can be told: every setting of its pydantic model with type, default and meaning."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from ltbench.settings.errors import Keys
from ltbench.settings.layers import KeyPath


@dataclass(frozen=True)
class Hyperparameter:
    """One setting.

    Attributes:
        name: as in ``--set SECTION.name=VALUE``; parts of nested tables joined with dots, ``<name>`` for one of choice.
        type: what it must be, in words.
        default: in the types of JSON; None where there is none.
        required: whether it must be given.
        meaning: its description.
    """

    name: str
    type: str
    default: Any
    required: bool
    meaning: str


def hyperparameters(model: type[BaseModel]) -> list[Hyperparameter]:
    """Every setting of a model, in the order of its fields, nested models flattened."""
    return list(_walk(model, None, (), Keys({(): model}, sections=[])))


def _walk(model: type[BaseModel], defaults: BaseModel | None, above: KeyPath, keys: Keys) -> Iterator[Hyperparameter]:
    for key, field in model.model_fields.items():
        path = (*above, key)
        default = _default(key, field, defaults)
        table, keyed = _nested(field.annotation)
        if table is None or keyed or default is None:
            missing = default is PydanticUndefined
            plain = None if missing else to_jsonable_python(default, fallback=str)
            yield Hyperparameter(".".join(path), keys.expected(path), plain, missing, field.description or "")
        if table is not None:
            yield from _walk(
                table, default if isinstance(default, table) else None, (*path, "<name>") if keyed else path, keys
            )


def _default(key: str, field: FieldInfo, defaults: BaseModel | None) -> Any:
    """A default instance of the model above has the say over the field's own default."""
    return field.get_default(call_default_factory=True) if defaults is None else getattr(defaults, key)


def _nested(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model that a field holds, and whether it holds one for each key of a dict."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if origin in (Union, UnionType):
        return next((found for found in map(_nested, arguments) if found[0] is not None), (None, False))
    if origin is dict:
        return _nested(arguments[1])[0], True
    return None, False
