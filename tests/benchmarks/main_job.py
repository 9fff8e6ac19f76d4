"""Seconds and peak memory of the main job, from an empty cache and again from its stages.

python tests/benchmarks/main_job.py            (goals on two cores: under 180 s and 1.5 GB; seconds the second time)
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

COMMAND = [sys.executable, "-m", "ltbench", "run", "--method", "experts", "--fuser", "joint"]


def timed(cache: str) -> float:
    started = time.perf_counter()
    subprocess.run(COMMAND, check=True, env=os.environ | {"LTBENCH_CACHE": cache})
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        first = timed(cache)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
        second = timed(cache)
    print(f"from an empty cache: {first:.1f} s, peak memory {peak:.2f} GiB")
    print(f"from its stages:     {second:.1f} s ({first / second:.0f} times as fast)")


if __name__ == "__main__":
    main()
