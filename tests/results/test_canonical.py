"""Equal values have equal texts and hashes, whatever types hold them."""

import hashlib
import json
from enum import Enum
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.common.canonical import canonical_json, digest

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


class Mode(Enum):
    REJECT = "reject"


@given(JSON_VALUES)
def test_reads_back_as_the_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


def test_exact_text_and_hash() -> None:
    assert canonical_json({"b": [1, 2.5], "a": None}) == '{"a":null,"b":[1,2.5]}'
    assert canonical_json("größe") == '"größe"'
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


def test_other_types_stand_for_plain_values() -> None:
    odd = {
        "path": PureWindowsPath("a\\b"),
        "array": np.array([1, 2]),
        "scalar": np.float64(0.5),
        "flag": np.bool_(True),
        "mode": Mode.REJECT,
        "pair": (PurePosixPath("x/y"), None),
    }
    plain = {"path": "a/b", "array": [1, 2], "scalar": 0.5, "flag": True, "mode": "reject", "pair": ["x/y", None]}
    assert canonical_json(odd) == canonical_json(plain)


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}, np.float32("nan")])
def test_numbers_that_json_lacks_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


@pytest.mark.parametrize("value", [{1: "a"}, {"a", "b"}, object()])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"string|canonical form"):
        canonical_json(value)
