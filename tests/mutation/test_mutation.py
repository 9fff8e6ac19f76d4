"""The mutation run itself: what it changes, that it tells noticed from unnoticed, and that it leaves the project alone."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import mutants
from page import page

HERE = Path(__file__).parent

SOURCE = '''"""Words 1."""
LIMIT: int = Field(3, description="at most 4")


@decorated(5)
def f(x: Literal[6], y=7, *, größe=0.5) -> "float":
    """More words 8."""
    if x < 1 and not y:
        raise ValueError(f"{x + 1} is wrong")
    for i in range(y):
        x += min(x[i:], key=g)
    return x if y else -größe
'''


def test_every_kind_of_change_is_made_once_and_words_are_left_alone() -> None:
    found = mutants("m.py", SOURCE)
    changes = [(mutant.line, mutant.new) for mutant in found]
    assert changes == [
        (2, 'LIMIT: int = Field(4, description="at most 4")'),
        (6, 'def f(x: Literal[6], y=8, *, größe=0.5) -> "float":'),
        (6, 'def f(x: Literal[6], y=7, *, größe=1.5) -> "float":'),
        (8, "if (not (x < 1 and (not y))):"),
        (8, "if (x < 1 or not y):"),
        (8, "if (x <= 1) and not y:"),
        (8, "if (x >= 1) and not y:"),
        (8, "if x < 2 and not y:"),
        (8, "if x < 0 and not y:"),
        (8, "if x < 1 and y:"),
        (9, "pass"),
        (10, "for i in ():"),
        (11, "pass"),
        (11, "x -= min(x[i:], key=g)"),
        (11, "x += max(x[i:], key=g)"),
        (11, "x += min(x[i:])"),
        (11, "x += min(x[:], key=g)"),
        (12, "return None"),
        (12, "return (-größe if y else x)"),
        (12, "return x if y else größe"),
    ]
    assert {mutant.where for mutant in found} == {"<module>", "f"}
    assert len({ast.dump(ast.parse(mutant.source)) for mutant in found}) == len(found)
    assert all(mutant.old in " ".join(SOURCE.split()) for mutant in found)


CALC = """def doubled(x):
    return 2 * x


def first(values):
    for value in values:
        found = value
        break
    return found


def clipped(x):
    return x if x < 3 else 3


def unguarded(x):
    return x + 1
"""

GUARD = """import itertools, subprocess, sys
from calc import clipped, doubled, first

def test_doubled():
    answer = subprocess.run([sys.executable, "-c", "import calc; print(calc.doubled(3))"], capture_output=True, check=True)
    assert int(answer.stdout) == doubled(3) == 6

def test_first_of_many():
    assert first(itertools.count(5)) == 5

def test_clipped():
    assert [clipped(2), clipped(3.5)] == [2, 3]
"""

TARGETS = """
copy = ["calc.py", "tests"]
paths = ["."]
preload = []
[targets.calc]
modules = ["calc.py"]
tests = ["tests/test_calc.py"]
"""

EQUIVALENT = """
[[equivalent]]
module = "calc.py"
where = "{where}"
old = "return x if x < 3 else 3"
new = ["return x if (x <= 3) else 3"]
reason = "3 either way"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {
        "calc.py": CALC,
        "tests/test_calc.py": GUARD,
        "mutation/targets.toml": TARGETS,
        "mutation/equivalent.toml": EQUIVALENT.format(where="clipped"),
        "docs/mutation.md": "",
    }.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path / "project", check=True)
    return tmp_path / "project"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LTBENCH_"))}
    command = [sys.executable, HERE / "run.py", *arguments]
    return subprocess.run([*map(str, command)], env=clean, capture_output=True, text=True, check=False)


def test_noticed_unnoticed_endless_and_excused(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*.py")}
    done = run("--root", project, "--targets", project / "mutation" / "targets.toml", "--write")
    assert "at least 97.0% asked for" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1
    result = json.loads((project / "mutation" / "results.json").read_text())["calc"]
    assert {mutant["where"] for mutant in result["survivors"]} == {"unguarded"}
    assert {mutant["new"] for mutant in result["survivors"]} == {
        "return None",
        "return (x - 1)",
        "return x + 2",
        "return x + 0",
    }
    assert (result["equivalent"], result["timeout"]) == (1, 1)  # without break it never ends
    assert result["mutants"] == result["killed"] + 1 + 1 + 4
    assert (project / "docs" / "mutation.md").read_text() == page({"calc": result})
    assert {path: path.read_bytes() for path in project.rglob("*.py")} == before
    assert not list(project.rglob("__pycache__"))


def test_what_is_not_there_is_not_excused(project: Path) -> None:
    (project / "mutation" / "equivalent.toml").write_text(EQUIVALENT.format(where="cut"))
    done = run("--root", project, "--targets", project / "mutation" / "targets.toml", "--sample", 1, "--threshold", 0)
    assert "no such mutant: calc.py | cut | return x if x < 3 else 3 | return x if (x <= 3) else 3" in done.stdout
    assert done.returncode == 1


def test_tests_that_fail_by_themselves_guard_nothing(project: Path) -> None:
    (project / "tests" / "test_calc.py").write_text("def test(): assert False")
    done = run("--root", project, "--targets", project / "mutation" / "targets.toml")
    assert "fail without any mutant" in done.stderr
    assert done.returncode == 1


def test_a_sample_of_the_project_s_own() -> None:
    done = run("--target", "metrics", "--sample", 5)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("5 mutants, 0 survived")


def test_the_page_is_that_of_the_results() -> None:
    results = json.loads((HERE / "results.json").read_text())
    assert (HERE.parents[1] / "docs" / "mutation.md").read_text() == page(results)
