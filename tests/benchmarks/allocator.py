"""Training on a CPU with and without the allocator keeping freed memory (``ltbench.engine.machine.compute.keep_freed_memory``).

    python tests/benchmarks/allocator.py [--rounds 2] [--steps 4]

ResNet-10 at 224 px, batch 64: forward, backward and step on one preloaded batch. The two ways take turns, each in a process
of its own; printed are medians over the rounds.
"""

import argparse
import statistics
import subprocess
import sys


def seconds(steps: int, keep: bool) -> float:
    """Of so many steps, after one that warms up."""
    from training_speed import bare

    from ltbench.config import ComputeConfig
    from ltbench.engine.machine import compute

    if not keep:
        compute.keep_freed_memory = lambda: None
    return bare(64 * steps, 64, compute.Compute(ComputeConfig(device="cpu")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--one", choices=["kept", "returned"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(seconds(options.steps, options.one == "kept"))
        return
    taken: dict[str, list[float]] = {"returned": [], "kept": []}
    for _ in range(options.rounds):
        for way, values in taken.items():
            command = [sys.executable, __file__, "--steps", str(options.steps), "--one", way]
            values.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    rate = {way: 64 * options.steps / statistics.median(values) for way, values in taken.items()}
    print(f"freed memory returned: {rate['returned']:.1f} images/s")
    print(f"freed memory kept:     {rate['kept']:.1f} images/s, {rate['kept'] / rate['returned']:.2f} times as fast")


if __name__ == "__main__":
    main()
