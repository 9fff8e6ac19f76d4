"""docs/reference.md comes out of a wheel as it comes out of the sources."""

from pathlib import Path

from .installing import PROJECT, run_python


def test_an_installed_wheel_gives_the_same_page(everything: Path, tmp_path: Path) -> None:
    page = PROJECT / "docs" / "reference.md"
    done = run_python("-m", "ltbench.reference", "--check", str(page), sites=[everything], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    where = run_python("-c", "import ltbench; print(ltbench.__file__)", sites=[everything], cwd=tmp_path)
    assert where.stdout.startswith(str(everything))
