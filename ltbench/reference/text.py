"""Docstrings and signatures as markdown."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence

Link = Callable[[str], str]
"""What a docstring refers to -> markdown."""

WIDTH = 100
"""Of a signature on one line."""

_MARKED = re.compile(r":(?:class|func|meth|attr|data|mod|exc):`~?([^`]+)`|``(.+?)``|`([^`]+)`", re.DOTALL)


def inline(text: str, link: Link) -> str:
    """References become links, code stays code, and nothing else is markup."""
    parts, end = [], 0
    for found in _MARKED.finditer(text):
        parts += [_plain(text[end : found.start()]), link(found[1]) if found[1] else code(found[2] or found[3])]
        end = found.end()
    return "".join([*parts, _plain(text[end:])])


def code(text: str) -> str:
    """As code, whatever it holds."""
    return f"`{text}`" if "`" not in text else f"`` {text} ``"


def block(source: str) -> str:
    """Source that is shown; ``python`` would be run by the tests of the pages."""
    return f"```py\n{source}\n```"


def _plain(text: str) -> str:
    return re.sub(r"[<]|(?<!^)[*]|[*](?! )", r"\\\g<0>", text)


def paragraphs(text: str, link: Link) -> Iterator[str]:
    """The paragraphs, lists and examples of a docstring's text."""
    for part in re.split(r"(?<=::)\n\n((?: +\S.*\n?|\n)+)", text.strip("\n")):
        if part.startswith(" "):
            yield block(textwrap.dedent(part).strip("\n"))
            continue
        for paragraph in re.split(r"\n\s*\n", re.sub(r"::$", ":", part).strip("\n")):
            lines = [re.sub(r"^\* ", "- ", inline(line, link)) for line in paragraph.splitlines()]
            yield "\n".join(lines)


def entries(heading: str, rows: Sequence[tuple[str, str]], link: Link) -> str:
    """A list under its heading, of (markdown before the colon, docstring text)."""
    lines = [": ".join(part for part in (name, inline(" ".join(text.split()), link)) if part) for name, text in rows]
    return "\n".join([f"*{heading}*", "", *(f"- {line}" for line in lines)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def signature(name: str, parameters: Sequence[str], returns: str = "") -> str:
    """On one line, or with a line for each parameter."""
    end = f") -> {returns}" if returns else ")"
    line = f"{name}({', '.join(parameters)}{end}"
    return line if len(line) <= WIDTH else "\n".join([f"{name}(", *(f"    {each}," for each in parameters), end])


def quoted(source: str) -> str:
    """Strings in the quotes that the sources use."""
    return re.sub(r"'([^'\"]*)'", r'"\1"', source)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
