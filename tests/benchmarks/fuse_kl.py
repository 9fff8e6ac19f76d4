"""Seconds and peak memory of fusing random test logits of disjoint experts by KL; budget: under 10 s on two cores.

python tests/benchmarks/fuse_kl.py [--samples 50000] [--classes 1000] [--experts 3] [--threads 2] [--full]
"""

import argparse
import resource
import time

import torch
from ltbench_fusers.kl_divergence import KLDivergence

from ltbench.fuser import MemberLogits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--experts", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    parser.add_argument("--full", action="store_true", help="a member over all classes beside the experts")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    members = [
        MemberLogits(f"experts/{k}", "experts", ids, "reject", 3 * torch.randn(options.samples, len(ids) + 1))
        for k, ids in enumerate(torch.arange(options.classes).tensor_split(options.experts))
    ]
    if options.full:
        logits = 3 * torch.randn(options.samples, options.classes)
        members.append(MemberLogits("baseline", "baseline", torch.arange(options.classes), "none", logits))
    given = sum(member.logits.numel() for member in members) * 4 / 2**20
    started = time.perf_counter()
    log_q = KLDivergence(options.classes).log_posterior(members)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.samples} x {options.classes}, {len(members)} members, {options.threads} threads: {seconds:.2f} s")
    print(f"peak RSS {peak:.0f} MiB, of which logits {given:.0f} MiB and posterior {log_q.numel() * 4 / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
