"""Processes of one run must share a cache and plan the same: found out before anything is trained."""

import platform
from pathlib import Path
from uuid import uuid4

from accelerate.utils import gather_object

from ltbench.engine.compute import Compute
from ltbench.engine.plan import Run
from ltbench.errors import DataError
from ltbench.files import wait_for

SECONDS_TO_APPEAR = 30.0
"""How long a file that one machine has written may take to be seen on another, through a network file system."""


def check_processes(compute: Compute, cache: Path, plan: Run) -> None:
    """Let every process look for a file that the main one writes into its cache folder, and compare the plans.

    Raises:
        DataError: on all processes, if one does not see the file or plans other stages than the main one.
    """
    if compute.world == 1:
        return
    mark = cache / f".processes-{uuid4().hex}"
    if compute.is_main:
        mark.touch()
    seen = wait_for(cache / compute.agree(mark.name), SECONDS_TO_APPEAR)
    keys = [stage.key for stage in plan.stages]
    findings = gather_object([(platform.node(), str(cache), seen, keys == compute.agree(keys))])
    if compute.is_main:
        mark.unlink()
    for node, folder, sees, agrees in findings:
        if not sees:
            raise DataError(
                f"the processes share no cache: on {node}, {folder} does not hold what the main process wrote to its own. "
                "Set LTBENCH_CACHE to one folder on a file system that all machines of the run see."
            )
        if not agrees:
            raise DataError(
                f"the processes plan different runs: on {node} the keys of the stages differ from the main process's. All "
                "machines need the same code, settings, annotation lists and precision (compute.precision = auto depends "
                "on the hardware)."
            )
