"""Processes of one run must share a cache folder and plan the same: found out before anything is trained."""

import platform
from pathlib import Path
from uuid import uuid4

from accelerate.utils import gather_object

from ltbench.common.files import wait_for
from ltbench.engine.machine.compute import Compute
from ltbench.errors import DataError
from ltbench.plan import Run

SECONDS_TO_APPEAR = 90.0
"""How long a file that one machine has written may take to be seen on another: NFS remembers for a minute what was not there."""


def check_processes(compute: Compute, cache: Path, plan: Run) -> None:
    """Let every process look for a file that the main one writes into its cache folder, and compare the plans.

    Raises:
        DataError: on all processes, if one does not see the file or plans other stages than the main one.
    """
    if compute.world == 1:
        return
    mark = cache / compute.from_main(f".processes-{uuid4().hex}")
    if compute.is_main:
        mark.touch()
    compute.wait()
    keys = [stage.key for stage in plan.stages]
    finding = platform.node(), str(cache), wait_for(mark, SECONDS_TO_APPEAR), keys == compute.from_main(keys)
    findings = gather_object([finding])
    if compute.is_main:
        mark.unlink()
    for node, folder, sees, agrees in findings:
        if not sees:
            raise DataError(
                f"the processes share no cache: {folder} on {node} does not hold what the main process wrote to its own. "
                "Set LTBENCH_CACHE to a folder that all machines of the run see."
            )
        if not agrees:
            raise DataError(
                f"the processes plan different runs: on {node} the stages have other keys than on the main process. All "
                "machines need the same code, settings and annotation lists; compute.precision = 'auto' depends on the "
                "hardware."
            )


def await_file(path: Path) -> None:
    """Wait until a file that the main process has written is seen here.

    Raises:
        DataError: it does not appear.
    """
    if not wait_for(path, SECONDS_TO_APPEAR):
        raise DataError(f"{path} is not seen on {platform.node()}, though the main process has written it.")
