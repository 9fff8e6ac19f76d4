"""What must start fast imports nothing heavy."""

import json
from pathlib import Path

import pytest
from results.records import record

from ltbench.results.store import save

from .installing import run_python

HEAVY = ("torch", "torchvision", "timm", "accelerate", "pandas", "matplotlib")

SCRIPT = """
import json, sys
from ltbench.cli import invoke
code = invoke(sys.argv[1:])
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["data", "--help"],
        ["data", "list"],
        *(["list", what] for what in ("methods", "fusers", "datasets", "plugins", "runs")),
        ["leaderboard", "--results", "records"],
    ],
    ids=" ".join,
)
def test_no_torch(arguments: list[str], everything: Path, tmp_path: Path) -> None:
    for method, accuracy in (("baseline", 0.4), ("experts", 0.5)):
        save(record(method, accuracy=accuracy), tmp_path / "records")
    done = run_python("-c", SCRIPT, *arguments, sites=[everything], cwd=tmp_path)
    said = json.loads(done.stderr.splitlines()[-1])
    assert said["code"] == 0, done.stderr
    assert not set(HEAVY) & set(said["modules"])


def test_the_public_names_cost_nothing_until_used(tmp_path: Path, everything: Path) -> None:
    code = "import sys, ltbench; dir(ltbench); print(sorted(sys.modules))"
    done = run_python("-c", code, sites=[everything], cwd=tmp_path)
    assert "'ltbench'" in done.stdout
    assert not [name for name in (*HEAVY, "numpy", "pydantic", "click", "rich") if f"'{name}'" in done.stdout]
