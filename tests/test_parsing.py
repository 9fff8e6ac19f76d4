"""JSON and TOML that anyone may have written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Outcome

from ltbench.common.names import is_name, is_qualified_name
from ltbench.common.parsing import DEEPEST, json_value, toml_table


@pytest.mark.parametrize("depth", [DEEPEST + 1, 500, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":', "{"])
def test_deep_json_is_one_line(depth: int, brackets: str) -> None:
    text = "[" * depth + "]" * depth if brackets == "[]" else brackets * depth + "1" + "}" * depth
    with pytest.raises(ValueError, match=r"nested too deeply; 32 tables|Expecting property name"):
        json_value(text)


def test_what_is_as_deep_as_it_may_be() -> None:
    assert json_value("[" * DEEPEST + "]" * DEEPEST)
    assert toml_table("a = " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, f"a{'.a' * 5000} = 1", "a = " + "[" * 40 + "]" * 40])
def test_deep_toml_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply; 32 tables"):
        toml_table(text)


def test_a_key_that_is_there_twice() -> None:
    with pytest.raises(ValueError, match="the key 'b' is given twice"):
        json_value('{"a": {"b": 1, "c": 2, "b": 3}}')


@pytest.mark.parametrize("name", ["a", "glyphs-lt", "0_x", "a" * 100])
def test_names(name: str) -> None:
    assert is_name(name)
    assert is_qualified_name(name)
    assert is_qualified_name(f"My.dist-1:{name}"[:100])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/", "a/b", "a\\b", "A", "-a", "a\n", "a b", "a\x00", "\u202ea", "a" * 101, "../x:a", "x:..", ":a"],
)
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name)
    assert not is_qualified_name(name)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--config", "deep.toml"], "deep.toml: nested too deeply; 32 tables"),
        (["--config", "latin.toml"], "configuration file latin.toml is not UTF-8"),
        (["--set", f"baseline.lr={'[' * 50_000}"], "--set baseline.lr: nested too deeply; 32 tables"),
        (["--set", f"baseline{'.a' * 9000}=1"], "nested too deeply; 32 tables"),
    ],
)
def test_on_the_command_line(
    ltb: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.toml").write_text("seed = " + "[" * 100_000)
    (tmp_path / "latin.toml").write_bytes("folds = 'é'".encode("latin-1"))
    done = ltb("run", "--method", "baseline", "--dry-run", *arguments)
    assert done.code == 2
    assert complaint in done.complaint
