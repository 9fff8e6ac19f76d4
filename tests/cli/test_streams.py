"""Standard output that is closed or full: a line on standard error and exit code 1, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")

COMMANDS = [["--help"], ["list", "methods"], ["list", "methods", "--json"]]
"""Each prints in another way: click, rich, print."""


def in_shell(arguments: list[str], redirection: str, cache: Path) -> subprocess.CompletedProcess[str]:
    command = " ".join([sys.executable, "-m", "ltbench", *arguments, redirection])
    return subprocess.run(
        ["sh", "-c", command],
        env=os.environ | {"LTBENCH_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@FULL
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_standard_output(arguments: list[str], tmp_path: Path) -> None:
    done = in_shell(arguments, "> /dev/full", tmp_path)
    assert done.stderr == "Error: standard output cannot be written: No space left on device.\n"
    assert done.returncode == 1


def test_a_closed_standard_output(tmp_path: Path) -> None:
    done = in_shell(["list", "methods"], ">&-", tmp_path)
    assert done.stderr == "Error: standard output is closed; send it to /dev/null if nobody is to read it.\n"
    assert done.returncode == 1


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2> /dev/full", marks=FULL)])
def test_without_standard_error_the_exit_code_is_left(redirection: str, tmp_path: Path) -> None:
    assert in_shell(["list", "methods"], redirection, tmp_path).returncode == 0
    assert in_shell(["list", "nonsense"], redirection, tmp_path).returncode == 2


def test_a_closed_descriptor_is_not_given_to_the_next_file(tmp_path: Path) -> None:
    """What a library prints to descriptor 1 or 2 must not end in a file of the cache."""
    code = "import os; from ltbench.cli.streams import open_standard_streams; open_standard_streams(); "
    code += "print(os.open('file', os.O_CREAT | os.O_WRONLY), file=open('n', 'w'))"
    subprocess.run(["sh", "-c", f'{sys.executable} -c "{code}" >&- 2>&- <&-'], cwd=tmp_path, check=False, timeout=60)
    assert int((tmp_path / "n").read_text()) > 2
