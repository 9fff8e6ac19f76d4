"""Text of others on a terminal and on a page: read back by a Markdown parser that is not ours, nothing but text is left."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ltbench.common.escaping import code, is_plain, markdown, one_line, visible

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

SPICY = st.text(st.sampled_from("ab1 .)(<>/![]|`*_~#+-=&;:$\\'\"^@{}\t") | st.characters(), max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("abc\u202ecba\u2066x", "abc\\u202ecba\\u2066x"),
        ("caf\u00e9 \u00b1 \U0001f600\tand\nso on", "caf\u00e9 \u00b1 \U0001f600\tand\nso on"),
        ("line\u2028break\rback", "line\\u2028break\\rback"),
        ("file\udcff", "file\\udcff"),
    ],
)
def test_what_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@given(st.text(st.characters()))
def test_no_control_or_direction_is_left(text: str) -> None:
    left = visible(text)
    assert {unicodedata.category(letter) for letter in left if letter not in "\n\t"}.isdisjoint(
        {"Cc", "Cs", "Zl", "Zp"}
    )
    directions = {unicodedata.bidirectional(letter) for letter in left}
    assert directions.isdisjoint({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
    left.encode("utf-8")  # lone surrogates would raise
    assert is_plain(one_line(text))


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("+1.9 [+1.3, +2.5]", "+1.9 [+1.3, +2.5]"),
        ("< 0.001", "< 0.001"),
        ("max_pool=False", "max_pool=False"),
        ("a | b", "a \\| b"),
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("![x](http://a)", "![x\\](http://a)"),
        ("&#x202e;", "&amp;#x202e;"),
        ("one\ntwo", "one two"),
        ("# head", "\\# head"),
        ("12. item", "12\\. item"),
    ],
)
def test_what_a_page_holds(text: str, page: str) -> None:
    assert markdown(text) == page


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in (token.children or [])]


def shown(children: list[Token]) -> str:
    return "".join(child.content for child in children)


@given(SPICY)
@example("[x]: http://a")
@example("[a][b]")
@example("<http://a.example>")
@example("a\\")
@example("***")
@example("- - -")
@example("====")
@example("0 #")
def test_whatever_it_is_a_page_shows_it_as_text(text: str) -> None:
    escaped = markdown(text)
    for before, after, kind in (
        ("", "", "paragraph_open"),
        ("# ", "", "heading_open"),
        ("- ", "", "bullet_list_open"),
        ("**Left out:** ", "", "paragraph_open"),
        ("| a | b |\n|---|---|\n| ", " | x |", "table_open"),
    ):
        tokens = PARSER.parse(f"{before}{escaped}{after}")
        if not one_line(text):
            continue
        assert tokens[0].type == kind
        blocks = {token.type for token in tokens} - {"inline"}
        assert blocks.isdisjoint({"html_block", "code_block", "fence", "hr", "blockquote_open", "ordered_list_open"})
        assert sum(token.type == "bullet_list_open" for token in tokens) == (before == "- ")
        children = inline(tokens)
        assert {child.type for child in children} <= {"text", "text_special", "strong_open", "strong_close"}
        assert sum(child.type == "strong_open" for child in children) == before.startswith("**")
        assert one_line(text) in shown(children)
    cells = [token for token in PARSER.parse(f"| a | b |\n|---|---|\n| {escaped} | x |") if token.type == "td_open"]
    assert len(cells) == 2


@given(SPICY)
def test_code_holds_any_backticks(text: str) -> None:
    children = inline(PARSER.parse(f"see {code(text)}."))
    if one_line(text):
        assert [child.type for child in children] == ["text", "code_inline", "text"]
        assert children[1].content.strip() == one_line(text).strip()
