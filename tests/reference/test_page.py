"""docs/reference.md is what the docstrings give, and holds together."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ltbench.reference.__main__ import main
from ltbench.reference.page import page
from ltbench.reference.source import Source
from ltbench.reference.text import anchor

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


@pytest.fixture(scope="module")
def text() -> str:
    return page(Source())


def test_the_page_is_what_the_docstrings_give(text: str) -> None:
    assert PAGE.read_text(encoding="utf-8") == text, "python -m ltbench.reference --write"


def test_every_link_leads_to_one_heading(text: str) -> None:
    headings = [anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert links - set(headings) == set()
    assert len(headings) == len(set(headings)) > len(links) > 100


@pytest.mark.parametrize("other", ["README.md", "docs/architecture.md", "docs/writing-a-plugin.md"])
def test_other_pages_link_to_headings_of_it(text: str, other: str) -> None:
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    links = re.findall(
        r"\]\((?:docs/)?reference\.md(?:#([^)]*))?\)", (PAGE.parents[1] / other).read_text(encoding="utf-8")
    )
    assert links
    assert {link for link in links if link} - headings == set()


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("ltbench.training.request.Training", "- `target_of` (`Tensor | None`): int64[C], the target among the logits"),
        ("ltbench.training.optim.OptimConfig", "| `batch_size` | `int` >= 1, \\<= 16777216 | `256` | samples a step"),
        ("ltbench.method.OneClassifier.Config", "`OptimConfig(epochs=100, batch_size=512, lr=0.2)`"),
        ("ltbench.method.OneClassifier.loss", "def loss(logits: Tensor, targets: Tensor) -> Tensor"),
        ("ltbench.data.samplers.ClassAwareSampler", "- `UsageError`: `batch_size` is no multiple of `per_class`."),
        ("ltbench.hookspecs.ltbench_methods", '    yield MethodSpec("mine", target="my_package.mine:Mine"'),
        ("ltbench.method.Member", "Types: [`Backbone`](#ltbenchbackbonesbackbonebackbone)"),
        ("ltbench.run", "Run one configuration"),
    ],
)
def test_what_is_said_of_a_name(text: str, heading: str, said: str) -> None:
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert said in section[1]


def test_a_stale_page_is_an_error_until_it_is_written(tmp_path: Path) -> None:
    file, run = tmp_path / "page.md", CliRunner()
    file.write_text(PAGE.read_text(encoding="utf-8").replace("deferred", "referred") + "more\n", encoding="utf-8")
    stale = run.invoke(main, ["--check", str(file)])
    assert (stale.exit_code, stale.output.count("\n")) == (1, 1)
    assert "python -m ltbench.reference --write" in stale.output
    assert run.invoke(main, ["--write", str(file)]).exit_code == 0
    assert run.invoke(main, ["--check", str(file)]).exit_code == 0
    assert file.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
