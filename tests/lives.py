"""A run in one process after the other, as often as one dies of SIGKILL.

    python tests/lives.py < REQUEST.json        prints how many died

Each life is forked from this process, which has imported everything and runs nothing, so that it costs no start. Where it
dies, a plugin file of the request says: ``fixtures/killed_midway.py``.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import ltbench
import ltbench.engine.run  # before the first life, with all that it imports
from ltbench.registry import manager
from ltbench.settings.recipes import resolve

KILLER = Path(__file__).with_name("fixtures") / "killed_midway.py"

MOST = 100
"""Lives of one run: none may need so many."""


def live(request: dict[str, Any]) -> NoReturn:
    """The run, as far as it gets, and the end of this process."""
    try:
        manager.use_plugin_files([Path(file) for file in request["files"]])
        ltbench.run(resolve(**request["asked"]).config)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    request = json.load(sys.stdin)
    for deaths in range(MOST):
        child = os.fork()
        if not child:
            live(request)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            print(deaths)
            return
        if code != -signal.SIGKILL:
            sys.exit(f"life {deaths + 1} ended with {code}")
    sys.exit(f"{MOST} lives did not suffice: what is killed does not go on where it stood")


if __name__ == "__main__":
    main()
