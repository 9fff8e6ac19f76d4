"""Does a run of two processes end with 0, every time? Repeats a tiny one, and counts the exits that are none.

    python tests/integrity/two_processes.py [RUNS] [--train]

The first run trains; the others find the stage and the record in the cache, so that the way out is most of what they do.
With ``--train`` each trains anew. A script and no test: 100 runs take minutes.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny import TINY, in_subprocess

COMMAND = ["run", "-m", "baseline", *TINY, "--num-processes", 2, "--oversubscribe", "--set", "compute.device=cpu"]


def main(runs: int, train: bool) -> int:
    exits: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, runs + 1):
            cache = Path(folder) / (f"cache-{number}" if train else "cache")
            done = in_subprocess(COMMAND, cache)
            exits[done.code] += 1
            if done.code or "terminate called" in done.err:
                print(f"run {number} ended with {done.code}:\n{done.err}", flush=True)
            if number % 10 == 0:
                print(f"{number} runs, exit codes {dict(exits)}", flush=True)
    bad = runs - exits[0]
    print(f"{bad} of {runs} runs did not end with 0")
    return int(bad > 0)


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--train"]
    sys.exit(main(int(given[0]) if given else 100, "--train" in sys.argv))
