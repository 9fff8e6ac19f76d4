"""Every Python example in README.md and docs/ runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    return [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if page.is_file()]


def examples(page: Path) -> list[tuple[int, str]]:
    """(line, code) of each block, in order."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start()) + 2, found[1]) for found in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", [page for page in pages() if examples(page)], ids=lambda page: page.name)
def test_the_examples_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later block may use the names of an earlier one. A line number in an error is the page's own."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    for line, code in examples(page):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)


def test_blocks_are_found_with_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\na = 1\n```\n\n```bash\nls\n```\n\n```python\nb = a\nc = b\n```\n")
    assert examples(page) == [(4, "a = 1\n"), (12, "b = a\nc = b\n")]
