"""Several methods trained in one run: whole, or killed in each training and resumed; and what such a run left in its cache."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import ltbench
from ltbench.engine.fitting import checkpoint
from ltbench.engine.fitting.checkpoint import Progress
from ltbench.registry import manager
from ltbench.results.logits import LogitsFolder, read_logits
from ltbench.settings.recipes import resolve


class Killed(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


def run_here(
    cache: Path, methods: Sequence[str], fuser: str, overrides: Sequence[str], kill: bool, files: Sequence[Path] = ()
) -> int:
    """The run in this process. With ``kill`` each training ends when its second epoch is done and not yet kept, and the run is
    started again; returns how often."""
    begun, kills, add = False, 0, Progress.add

    def add_or_die(progress: Progress, *arguments: object) -> None:
        nonlocal begun
        if kill and begun and progress.epochs_done == 1:
            raise Killed
        begun = True
        add(progress, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_files", "_loaded"):
            patch.setattr(manager, name, getattr(manager, name))
        patch.setenv("LTBENCH_CACHE", str(cache))
        patch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
        patch.setattr(Progress, "add", add_or_die)
        manager.use_plugin_files(files)
        config = resolve(methods=methods, fusers=[fuser], overrides=overrides).config
        while True:
            try:
                ltbench.run(config)
            except Killed:
                begun, kills = False, kills + 1
            else:
                return kills


def stage(cache: Path, method: str) -> Path:
    (folder,) = cache.glob(f"stages/{method}-{'[0-9a-f]' * 20}")
    return folder


def logits(cache: Path, method: str) -> LogitsFolder:
    return read_logits(stage(cache, method) / "logits")


def losses(cache: Path, method: str) -> list[tuple[int, float]]:
    """Epoch and its mean loss, of each training."""
    lines = [json.loads(line) for line in (stage(cache, method) / "log.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["loss"]) for line in lines if "epoch" in line]
