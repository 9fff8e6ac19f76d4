"""An author need not open the sources: what is public says what it takes, gives and raises. Each test lists all that does not."""

import ast
import logging
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from ltbench.reference.entry import described_by_base, is_property
from ltbench.reference.fields import described_fields
from ltbench.reference.public import MODULES, is_private
from ltbench.reference.source import Source

SOURCE = Source()

ARRAY = re.compile(r"\b(Tensor|ndarray)\b")
SHAPE = re.compile(r"\b(float|int|uint|bool)\d*(\[|\b)|\[[A-Z][^\]]*\]|\bscalar\b|\bmean\b")
"""Signs of a shape or of what a number is."""

NOT_MADE = {"ltbench.training.step.Step"}
"""Classes whose objects are given to authors, and never made by them."""


def text_of(found: Any) -> str:
    return found.docstring.value if found.docstring else ""


def says(found: Any, name: str) -> bool:
    """Whether a class, or a base of it, names this member in its docstring."""
    return any(re.search(rf"\b{name}\b", text_of(each)) for each in (found, *found.mro()))


def functions() -> Iterator[tuple[str, Any, str]]:
    """Every public function, method and property that says something of its own: path, object, what is said of it."""
    for path, found in SOURCE.described.items():
        if found.is_function:
            yield path, found, text_of(found)
        for name, member in found.members.items() if found.is_class else ():
            if not (member.is_function or is_property(member)) or (name.startswith("_") and name != "__init__"):
                continue
            if name == "__init__" and (path in NOT_MADE or not member.source):
                continue
            elsewhere = described_by_base(found, name) or (is_property(member) and says(found, name))
            if member.docstring or name == "__init__" or not elsewhere:
                yield f"{path}.{name}", member, text_of(member) + (text_of(found) if name == "__init__" else "")


def test_public_names_are_there_and_none_is_private() -> None:
    names = [(module, name) for module in MODULES for name in import_module(module).__all__]
    assert [each for each in names if is_private(each[1]) or not hasattr(import_module(each[0]), each[1])] == []


def test_every_public_name_and_module_has_a_docstring() -> None:
    found = SOURCE.modules | SOURCE.described
    assert [path for path, each in found.items() if not text_of(each) and path != "ltbench.__version__"] == []


def test_every_setting_and_attribute_is_described() -> None:
    unsaid = []
    for path, found in SOURCE.described.items():
        if not found.is_class:
            continue
        fields = {name: text for name, _, _, text in described_fields(found)}
        unsaid += [f"{path}.{name}" for name, text in fields.items() if not text]
        for name, member in found.members.items():
            own = member.is_attribute and not is_property(member) and not name.startswith("_")
            if own and name not in {*fields, "model_config"} and not text_of(member) and not says(found, name):
                unsaid.append(f"{path}.{name}")
    assert unsaid == []


def test_every_function_says_what_it_does_and_what_its_arrays_are() -> None:
    unsaid = {}
    for path, found, said in functions():
        given = [] if found.is_attribute else found.parameters
        arrays = [each.name for each in given if ARRAY.search(str(each.annotation or ""))]
        missing = [name for name in arrays if not re.search(rf"\b{name}\b", said)]
        answer = found.annotation if found.is_attribute else found.returns
        if (arrays or ARRAY.search(str(answer or ""))) and not SHAPE.search(said):
            missing.append("shapes and types")
        if missing or not said:
            unsaid[path] = missing
    assert unsaid == {}


def test_every_function_says_what_it_raises() -> None:
    unsaid = {}
    for path, found, said in functions():
        raised = {
            node.exc.func.id
            for node in ast.walk(ast.parse(textwrap.dedent(found.source)))
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
        }
        if missing := {name for name in raised if name.endswith("Error") and name not in said}:
            unsaid[path] = missing
    assert unsaid == {}


def test_the_types_of_what_is_public_are_public() -> None:
    parts = [*SOURCE.described.items(), *((path, found) for path, found, _ in functions())]
    used = {name: path for path, found in parts for name in SOURCE.types_of(found) if SOURCE.home(name) is None}
    assert used == {}


def test_what_authors_are_given_and_do_not_make() -> None:
    assert {
        path for path, found in SOURCE.described.items() if found.is_class and not SOURCE.is_made(found)
    } == NOT_MADE


def test_what_a_docstring_refers_to_is_on_the_page() -> None:
    parts = [*(SOURCE.modules | SOURCE.described).values(), *(found for _, found, _ in functions())]
    names = [(part, name) for part in parts for name in re.findall(r":[a-z]+:`~?([^`]+)`", text_of(part))]
    assert len(names) > 50
    assert {(part.path, name) for part, name in names if SOURCE.referred(name, part) is None} == set()


def test_docstrings_describe_parameters_that_are_there(caplog: pytest.LogCaptureFixture) -> None:
    """griffe says where one does not."""
    with caplog.at_level(logging.WARNING, logger="griffe"):
        for found in Source().described.values():
            for part in (found, *(found.members.values() if found.is_class else ())):
                assert not part.docstring or part.docstring.parsed
    assert caplog.messages == []
