"""Peak memory of the head of prototype at the size of iNaturalist 2018: one training step, one inference.

    python tests/benchmarks/prototype_memory.py            (goal for the step: under 1 GB)

Each is measured in a process of its own: the peak resident memory at its end, less what was resident with the weights
in place. Gradients and momentum are counted. Linux only.
"""

import resource
import subprocess
import sys
from pathlib import Path

CLASSES, FEATURES, BATCH = 8142, 512, 256


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(task: str) -> None:
    import torch
    from ltbench_methods.prototype import MemoryClassifier
    from torch import nn
    from torch.nn import functional as F

    from ltbench.engine.evaluation.inference import HEAD_CHUNK

    head = MemoryClassifier(FEATURES, CLASSES)
    head.start_from(nn.Linear(FEATURES, CLASSES), torch.randn(CLASSES, FEATURES))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    before = resident()
    if task == "step":
        features, targets = torch.randn(BATCH, FEATURES, requires_grad=True), torch.randint(CLASSES, (BATCH,))
        loss = F.cross_entropy(head(features), targets) + 0.01 * head.centroid_loss(features, targets)
        loss.backward()
        optimizer.step()
    else:
        with torch.inference_mode():
            head(torch.randn(HEAD_CHUNK, FEATURES))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print((peak - before) / 1e9)


def main() -> None:
    for task, what in (
        ("step", f"a training step with a batch of {BATCH}"),
        ("inference", "inference on 8,192 features"),
    ):
        done = subprocess.run([sys.executable, __file__, task], check=True, capture_output=True, text=True)
        print(f"{CLASSES} classes, {FEATURES} features, {what}: {float(done.stdout):.2f} GB beyond the weights")


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
