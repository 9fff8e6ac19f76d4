"""Merging layers against a recursive merge of dictionaries, and how ``--set`` reads values."""

import math
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.settings.layers import Layer, merge, nest, parse_override, source_of

keys = st.sampled_from("abc")
scalars = st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
tables = st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
layers = st.lists(st.dictionaries(keys, tables.filter(lambda table: table != {}), max_size=3), max_size=4)


def merged_dicts(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    both = dict(lower)
    for key, value in upper.items():
        below = both.get(key)
        joined = isinstance(value, dict) and isinstance(below, dict) and value
        both[key] = merged_dicts(below, value) if joined else value
    return both


@given(layers)
def test_merging_is_a_recursive_update_that_empty_tables_clear(values: list[dict[str, Any]]) -> None:
    numbered = [Layer(str(number), each) for number, each in enumerate(values)]
    expected: dict[str, Any] = reduce(merged_dicts, values, {})
    found = merge(numbered)
    assert nest(found) == expected
    for path, entry in found.items():
        assert reduce(lambda table, key: table[key], path, values[int(entry.source)]) == entry.value  # type: ignore[arg-type,return-value]


def test_the_bare_header_of_a_section_clears_nothing() -> None:
    assert nest(merge([Layer("low", {"a": {"x": 1}}), Layer("high", {"a": {}})])) == {"a": {"x": 1}}


def test_sources_of_a_table_are_those_of_its_keys() -> None:
    found = merge([Layer("low", {"a": {"x": 1, "y": 1}}), Layer("high", {"a": {"y": 2}, "b": 1})])
    assert source_of(("a",), found) == "low, high"
    assert source_of(("a", "x"), found) == "low"
    assert source_of(("c",), found) == "default"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=8", {"a": {"b": 8}}),
        ("a.b=8.0", {"a": {"b": 8.0}}),
        ("a.b=1e-3", {"a": {"b": 1e-3}}),
        ("a.b=true", {"a": {"b": True}}),
        ("a.b='8'", {"a": {"b": "8"}}),
        ("a.b=[1, 2]", {"a": {"b": [1, 2]}}),
        ('a.b=[1, "all"]', {"a": {"b": [1, "all"]}}),
        ("a.b={c = 1}", {"a": {"b": {"c": 1}}}),
        ("a.b=resnet152.tv_in1k", {"a": {"b": "resnet152.tv_in1k"}}),
        ("a.b=/data/a=b.pt", {"a": {"b": "/data/a=b.pt"}}),
        (" a . b = x ", {"a": {"b": "x"}}),
        ("a=", {"a": ""}),
        ("my-plugin:a.b=1", {"my-plugin:a": {"b": 1}}),
        ("backbone=resnet18", {"backbone": {"name": "resnet18"}}),
    ],
)
def test_set_reads_toml_values_and_takes_the_rest_for_strings(text: str, values: dict[str, Any]) -> None:
    assert parse_override(text) == Layer("--set", values)


def test_set_knows_infinity() -> None:
    assert math.isinf(parse_override("a=inf").values["a"])
