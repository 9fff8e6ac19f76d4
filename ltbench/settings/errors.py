"""Turns pydantic's complaints into lines that name key, value, source, what is expected, and the closest valid key."""

import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from ltbench.errors import UsageError
from ltbench.settings.layers import KeyPath, Merged, leaves, source_of

Schema = dict[str, Any]

_TYPES = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "a string",
    "object": "a table",
}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
LONGEST_VALUE = 80
"""Characters of a value that a message shows."""

_DEEPEST_KEY = 6  # a model may contain itself


class Keys:
    """Every key that a run may set, from the JSON schemas of the models that check them.

    Args:
        models: where in the settings each model stands, e.g. ``("experts",)``; ``()`` for the run itself.
        sections: names that may head a section, whether or not this run uses them.
    """

    def __init__(self, models: Mapping[KeyPath, type[BaseModel]], sections: list[str]) -> None:
        self.models = models
        self.sections = sections

    @cached_property
    def _schemas(self) -> dict[KeyPath, Schema]:
        return {path: model.model_json_schema() for path, model in self.models.items()}

    def children(self, path: KeyPath) -> list[str]:
        """The keys that may stand directly under ``path``."""
        names = list(self._schema(path).get("properties", {}))
        names += [other[-1] for other in self.models if other and other[:-1] == path]
        return sorted({*names, *self.sections} - {"settings"}) if not path else sorted(set(names))

    def expected(self, path: KeyPath) -> str:
        """What the value must be, in words; empty where the schema does not say."""
        return self._words(self._schema(path), self._root(path))

    def suggestion(self, path: KeyPath) -> str:
        """`` Did you mean 'x'?`` with the closest key, or `` Known: ...`` where none is close."""
        elsewhere = [key for key in self._walk(()) if key != path]
        same_section = {key[-1]: key for key in elsewhere if key[0] == path[0]}
        siblings = {name: (*path[:-1], name) for name in self.children(path[:-1])}
        everywhere = {key[-1]: key for key in elsewhere}
        for candidates, cutoff in ((same_section, 1.0), (everywhere, 1.0), (siblings, 0.5), (everywhere, 0.8)):
            if close := get_close_matches(path[-1], list(candidates), n=1, cutoff=cutoff):
                return f" Did you mean '{'.'.join(candidates[close[0]])}'?"
        return f" Known: {', '.join(siblings)}." if siblings else ""

    def _walk(self, above: KeyPath) -> Iterator[KeyPath]:
        for name in self.children(above):
            yield (*above, name)
            if len(above) < _DEEPEST_KEY:
                yield from self._walk((*above, name))

    def _root(self, path: KeyPath) -> KeyPath:
        return max((other for other in self.models if path[: len(other)] == other), key=len)

    def _schema(self, path: KeyPath) -> Schema:
        root = self._root(path)
        schema = self._schemas[root]
        for key in path[len(root) :]:
            tables = [self._follow(option, root) for option in schema.get("anyOf", [schema])]
            below = [table.get("properties", {}).get(key) or table.get("additionalProperties") for table in tables]
            schema = next((found for found in below if isinstance(found, dict)), {})
            schema = self._follow(schema, root)
        return schema

    def _follow(self, schema: Schema, root: KeyPath) -> Schema:
        reference = schema.get("$ref", "").rpartition("/")[2]
        return self._schemas[root]["$defs"][reference] if reference else schema

    def _words(self, schema: Schema, root: KeyPath) -> str:
        schema = self._follow(schema, root)
        if "anyOf" in schema:
            words = [self._words(option, root) for option in schema["anyOf"] if option.get("type") != "null"]
            return " or ".join(dict.fromkeys(filter(None, words)))
        if "enum" in schema or "const" in schema:
            allowed = [repr(value) for value in schema.get("enum", [schema.get("const")])]
            return f"one of {', '.join(allowed)}" if len(allowed) > 1 else allowed[0]
        if schema.get("type") == "array":
            least, most = schema.get("minItems", 0), schema.get("maxItems")
            size = f" of {least}" if least == most else f" of at least {least}" if least else ""
            each = self._words(schema.get("items") or schema.get("prefixItems", [{}])[0], root)
            return f"a list{size}" + (f", each {each}" if each else "")
        if schema.get("format") == "path":
            return "a path"
        bounds = [f"{sign} {schema[word]:,}".removesuffix(".0") for word, sign in _BOUNDS.items() if word in schema]
        return " ".join(filter(None, [_TYPES.get(schema.get("type", ""), ""), " and ".join(bounds)]))


def check(keys: Keys, path: KeyPath, values: Any, merged: Merged) -> Any:
    """An instance of the model that stands at ``path``, filled with ``values``; ``merged`` knows where they are from.

    Raises:
        UsageError: one line for every key that is wrong.
    """
    given = leaves(values) if isinstance(values, dict) else [((), values)]
    if odd := [line for below, value in given if (line := _no_number((*path, *below), value, merged))]:
        raise UsageError("\n".join(odd))
    try:
        return keys.models[path].model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(_lines(error, keys, path, values, merged))) from error


def _no_number(path: KeyPath, value: Any, merged: Merged) -> str:
    """What is wrong with a number that no setting can be: JSON, and so a record, holds none that is not finite."""
    wanted = ""
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, float) and not math.isfinite(one):
            wanted = "a finite number"
        elif isinstance(one, int) and not -(2**63) <= one < 2**63:
            wanted = "a number of at most 64 bits"
    return f"{'.'.join(path)} = {_shown(value)} (from {source_of(path, merged)}): expected {wanted}." if wanted else ""


def _shown(value: Any) -> str:
    """The value on one line that is not too long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits to be written
        return "..."
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _lines(error: ValidationError, keys: Keys, above: KeyPath, values: Any, merged: Merged) -> list[str]:
    lines: dict[KeyPath, str] = {}
    for problem in error.errors(include_url=False):
        below, value = _locate(problem["loc"], values)
        if problem["type"] == "missing" and len(below) == len(problem["loc"]) - 1 and isinstance(value, dict):
            path = (*above, *map(str, problem["loc"]))
            line = _missing(keys, path)
        else:
            path = (*above, *below)
            line = _wrong(dict(problem), keys, path, value, merged)
        lines.setdefault(path, line)  # the branches of a union complain one by one
    return list(lines.values())


def _locate(location: tuple[int | str, ...], values: Any) -> tuple[KeyPath, Any]:
    """The key that an error is about, as deep as tables go: a list position or a union branch may follow it."""
    path: KeyPath = ()
    for part in location:
        if not isinstance(values, dict) or part not in values:
            break
        path, values = (*path, str(part)), values[part]
    return path, values


def _missing(keys: Keys, path: KeyPath) -> str:
    name = ".".join(path)
    return (
        f"{name}: missing; expected {keys.expected(path) or 'a value'}. Give it with --set {name}=VALUE or in a file."
    )


def _wrong(problem: dict[str, Any], keys: Keys, path: KeyPath, value: Any, merged: Merged) -> str:
    name, expected = ".".join(path), keys.expected(path)
    where = f"{name if isinstance(value, dict) else f'{name} = {_shown(value)}'} (from {source_of(path, merged)})"
    if problem["type"] == "extra_forbidden":
        return f"{where}: no such key.{keys.suggestion(path)}"
    if problem["type"] in ("value_error", "assertion_error"):
        return f"{where}: {_sentence(str(problem['ctx']['error']))}"
    return f"{where}: expected {expected}." if expected else f"{where}: {_sentence(problem['msg'])}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
