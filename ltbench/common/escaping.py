"""Text that others wrote (records, class names, file names, messages of plugins), made harmless where it is shown.

For a terminal :func:`visible`, which :mod:`ltbench.common.terminal` applies to all that is printed; for a page :func:`markdown`.
"""

import re

_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_LINES = "\u2028\u2029"
_UNSEEN = "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f"

_HARMFUL = re.compile(f"[{_CONTROL}{_DIRECTION}{_LINES}{_UNSEEN}]")
"""Controls of terminals (C0 but tab and newline, DEL, C1), of writing direction (Unicode TR 36, Sec. 2.5), other line ends;
lone surrogates, annotations and tags, which cannot be written or not be seen."""

_MARKDOWN = re.compile(r"[\\`*|~$]|\](?=[(\[:])|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|#\Z")
"""What begins something in GitHub's Markdown wherever it stands, or ends a heading. An underscore inside a word does not, nor do
brackets before which no link, image or definition is complete."""

_BLOCK = re.compile(r"(\d*)(?=(?:#+|[+-]|(?<=\d)[.)])(?: |\Z)|[=-]+\Z|>)")
"""What begins a heading, a list, a rule or a quotation at the start of a line."""

_HTML = {"&": re.compile(r"&(?=[#A-Za-z])"), "<": re.compile(r"<(?=[A-Za-z/!?])")}
"""What begins an entity, or a tag, comment or link (CommonMark 0.31, Sec. 6.6); "< 20" does not."""


def visible(text: str) -> str:
    """The text with every harmful character spelt out: ESC as ``\\x1b``. Tabs and newlines stay."""
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_plain(text: str) -> bool:
    """One line without harmful characters."""
    return _HARMFUL.search(text) is None and "\n" not in text and "\t" not in text


def one_line(text: str) -> str:
    """:func:`visible`, with white space of any kind as single spaces."""
    return visible(" ".join(text.split()))


def markdown(text: str) -> str:
    """One line that Markdown shows as it is: no link, image, code, HTML, new cell, heading or list begins in it."""
    text = _HTML["<"].sub("&lt;", _HTML["&"].sub("&amp;", one_line(text)))
    text = _MARKDOWN.sub(r"\\\g<0>", text)
    return _BLOCK.sub(r"\1\\", text, count=1) if _BLOCK.match(text) else text


def code(text: str) -> str:
    """One line of Markdown code, whatever backticks are in it."""
    text = one_line(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{text}{padding}{fence}"
