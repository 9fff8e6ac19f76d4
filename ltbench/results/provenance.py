"""Where a number comes from: versions, device, and the state of the source tree."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ltbench.manager import plugins
from ltbench.results.schema import Environment

_SOURCES = (".", "../plugins", "../configs")
"""What decides a result, relative to the package in a checkout. Not the records: a new one leaves the tree clean."""


def environment(device: str, precision: str) -> Environment:
    """The environment of this process. ``device`` and ``precision`` are those that the run resolved."""
    commit, dirty = git_state(Path(__file__).resolve().parents[1])
    return Environment(
        python=platform.python_version(),
        torch=version("torch"),
        timm=version("timm"),
        ltbench=_own_version(),
        platform=platform.platform(),
        device=device,
        precision=precision,
        git_commit=commit,
        git_dirty=dirty,
        plugins={record.distribution: record.version for record in plugins().records if record.usable},
    )


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


def _own_version() -> str:
    try:
        return version("ltbench")
    except PackageNotFoundError:
        return "not installed"
