"""What each process does under ``torchrun together.py FOLDER SETTING...``; test_processes.py reads what it leaves.

The run is killed once and resumed. Then it is asked for again, each process with a seed and with a cache folder of its own.
"""

import os
import sys
from pathlib import Path

import ltbench
from ltbench.config import RunConfig
from ltbench.engine import processes
from ltbench.engine.fitting import checkpoint
from ltbench.engine.fitting.checkpoint import Progress
from ltbench.errors import DataError
from ltbench.settings.recipes import resolve

EPOCHS_BEFORE_KILL = 2


class Killed(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


def main(folder: Path, config: RunConfig) -> None:
    rank = os.environ["RANK"]
    checkpoint.SECONDS_BETWEEN = 0.0
    os.environ["LTBENCH_CACHE"] = str(folder / "cache")
    run_until_killed(config)
    record = ltbench.run(config)
    (folder / f"record-{rank}.json").write_text(record.model_dump_json())

    refused(config.model_copy(update={"seed": int(rank)}), folder / f"plan-{rank}.txt")
    processes.SECONDS_TO_APPEAR = 0.5
    os.environ["LTBENCH_CACHE"] = str(folder / f"cache-of-{rank}")
    refused(config, folder / f"cache-{rank}.txt")


def refused(config: RunConfig, message: Path) -> None:
    try:
        ltbench.run(config)
    except DataError as error:
        message.write_text(str(error))


def run_until_killed(config: RunConfig) -> None:
    add = Progress.add

    def add_or_die(progress: Progress, *arguments: object) -> None:
        if progress.epochs_done == EPOCHS_BEFORE_KILL:
            raise Killed
        add(progress, *arguments)

    Progress.add = add_or_die
    try:
        ltbench.run(config)
    except Killed:
        Progress.add = add


if __name__ == "__main__":
    main(Path(sys.argv[1]), resolve(methods=["prototype"], fusers=["joint"], overrides=sys.argv[2:]).config)
