"""Where a number comes from: versions, device, and the state of the source tree."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ltbench.common.escaping import one_line
from ltbench.registry.manager import plugins
from ltbench.results.schema import Environment

_SOURCES = (".", "../plugins", "../configs")
"""What decides a result, relative to the package in a checkout. Not the records: a new one leaves the tree clean."""


def environment(device: str, precision: str, instructions: str, threads: int) -> Environment:
    """The environment of this process.

    Args:
        device, precision: that the run resolved.
        instructions, threads: of the processor, that torch uses.
    """
    commit, dirty = git_state(Path(__file__).resolve().parents[1])
    return Environment(
        python=platform.python_version(),
        torch=version("torch"),
        timm=version("timm"),
        ltbench=own_version(),
        platform=platform.platform(),
        device=device,
        cpu=f"{cpu_name()}, {instructions}",
        threads=threads,
        precision=precision,
        git_commit=commit,
        git_dirty=dirty,
        plugins={record.distribution: record.version for record in plugins().records if record.usable},
    )


def cpu_name() -> str:
    """The model, or the architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return one_line(next(models, "") or platform.processor() or platform.machine() or "unknown")


def git_state(package: Path) -> tuple[str | None, bool | None]:
    """(commit, whether the sources differ from it) of the package's checkout; (None, None) where git tracks none."""
    if _git(package, "ls-files", "--error-unmatch", "plugin.py") is None:
        return None, None
    commit = _git(package, "rev-parse", "--verify", "HEAD")
    status = _git(package, "status", "--porcelain", "--", *_SOURCES)
    return (commit, bool(status)) if commit and status is not None else (None, None)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git, no repository, or it refuses."""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # asking for the status must not disturb a commit in progress
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False, env=environ
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def own_version() -> str:
    try:
        return version("ltbench")
    except PackageNotFoundError:
        return "not installed"
