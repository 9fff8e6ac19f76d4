"""A run that takes seconds: nine letters of 16 x 16 pixels, a narrow ResNet-10, two epochs; and the command line to run it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPTIONS: dict[str, Any] = {
    "num_classes": 9,
    "max_count": 120,
    "min_count": 6,
    "val_per_class": 6,
    "test_per_class": 10,
    "size": 16,
}
"""Of glyphs-lt: 370 training images, 54 for validation, 90 to test on; 1, 4 and 4 classes by the paper's fold rule."""

WIDTHS = [16, 16, 32, 32]
"""Of resnet10. With fewer than 16 channels oneDNN (torch 2.14, CPU) corrupts memory in the backward pass."""

BASELINE = {"optim": {"epochs": 2, "batch_size": 64, "lr": 0.1}}

EXPERTS = {
    "optim": {"epochs": 2, "batch_size": 32, "min_steps": 0},
    "subset": {"many": {"optim": {"epochs": 1}}, "few": {"optim": {"epochs": 2}}},
}


def settings(**sections: Any) -> list[str]:
    """Nested settings as ``--set`` options: ``settings(baseline={"optim": {"lr": 1}})``."""
    return [part for key, value in _leaves(sections) for part in ("--set", f"{key}={_toml(value)}")]


def _leaves(values: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += _leaves(value, f"{above}{key}.") if isinstance(value, dict) and value else [(above + key, value)]
    return found


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


DATA = settings(dataset={"options": OPTIONS}, backbone={"kwargs": {"widths": WIDTHS}})

TINY = [*DATA, *settings(baseline=BASELINE)]
"""For a run of the baseline alone."""

TINY_EXPERTS = [*TINY, *settings(experts=EXPERTS)]
"""For a run of the experts."""


TOGETHER = ["-m", "experts", "-f", "joint", *TINY_EXPERTS, "--num-processes", "2", "--json"]
TOGETHER += settings(compute={"eval_batch_size": 8})
"""For a run of the experts by two processes; 54 and 90 samples in batches of 8 leave a remainder."""


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr that says what was wrong."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("Error: "), self.err
        return lines[0].removeprefix("Error: ")


def in_subprocess(arguments: Sequence[Any], cache: Path, timeout: float = 240, **environment: str) -> Outcome:
    """``python -m ltbench ...`` with a cache folder of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ltbench", *map(str, arguments)],
        env=os.environ | {"LTBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """Of a record, everything that a second training gives again: not when, where and how fast it was made."""
    kept = {key: value for key, value in record.items() if key not in ("created", "timings", "environment")}
    return {**kept, "stages": [_without_seconds(stage) for stage in record["stages"]]}


def _without_seconds(stage: dict[str, Any]) -> dict[str, Any]:
    return {**stage, "cost": {key: value for key, value in stage["cost"].items() if key != "seconds"}}
