"""Several methods trained in one run: whole, or killed in each training and resumed; and what such a run left in its cache."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lives
import pytest

import ltbench
from ltbench.registry import manager
from ltbench.results.logits import LogitsFolder, read_logits
from ltbench.settings.recipes import resolve


def run_here(
    cache: Path, methods: Sequence[str], fuser: str, overrides: Sequence[str], kill: bool, files: Sequence[Path] = ()
) -> int:
    """The run in this process. With ``kill`` in processes of its own: each dies of SIGKILL in the middle of the second epoch of
    the first training that it begins, and the run is started again; returns how often."""
    if kill:
        return run_in_lives(cache, methods, fuser, overrides, [*files, lives.KILLER])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_files", "_loaded"):
            patch.setattr(manager, name, getattr(manager, name))
        patch.setenv("LTBENCH_CACHE", str(cache))
        manager.use_plugin_files(files)
        ltbench.run(resolve(methods=methods, fusers=[fuser], overrides=overrides).config)
    return 0


def run_in_lives(
    cache: Path, methods: Sequence[str], fuser: str, overrides: Sequence[str], files: Sequence[Path], **environment: str
) -> int:
    """The run in processes of its own, one after the other as long as they are killed; returns how many were."""
    asked = {"methods": [*methods], "fusers": [fuser], "overrides": [*overrides]}
    done = subprocess.run(
        [sys.executable, lives.__file__],
        input=json.dumps({"files": [*map(str, files)], "asked": asked}),
        # CUDA itself, asked for its GPUs before a fork, would be of no use after it.
        env=os.environ | {"LTBENCH_CACHE": str(cache), "PYTORCH_NVML_BASED_CUDA_CHECK": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def stage(cache: Path, method: str) -> Path:
    (folder,) = cache.glob(f"stages/{method}-{'[0-9a-f]' * 20}")
    return folder


def logits(cache: Path, method: str) -> LogitsFolder:
    return read_logits(stage(cache, method) / "logits")


def losses(cache: Path, method: str) -> list[tuple[int, float]]:
    """Epoch and its mean loss, of each training."""
    lines = [json.loads(line) for line in (stage(cache, method) / "log.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["loss"]) for line in lines if "epoch" in line]
