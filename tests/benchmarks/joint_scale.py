"""Time and memory of ``joint`` at the sizes of ImageNet-LT and iNaturalist 2018.

    python tests/benchmarks/joint_scale.py [--dataset imagenet-lt] [--every 1] [--threads 2]

Three experts over the many-, medium- and few-shot classes of the real class counts, each with a reject logit. ImageNet-LT:
20,000 validation and 50,000 test samples of 1,003 logits; iNaturalist 2018: 24,426 and 24,426 of 8,145. The logits are
drawn: noise, a signal at the label that is weaker for rarer classes, a bias towards frequent classes, and scales and
shifts that the experts do not agree on. ``--every 10`` keeps every tenth class.

Fitting with a given l2, fitting with ``l2 = auto`` and fusing run in a process each. Memory is the peak less what was
resident with the logits in place. Goal: small against a float64 copy of the logits, that is, no array over all samples
beyond the posterior that is asked for.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from machine import MB, describe, forget_peak, peak
from torch import Tensor

import ltbench
from ltbench.data.facts import known_counts
from ltbench.data.folds import fold_rule
from ltbench.fuser import MemberLogits

SAMPLES = {"imagenet-lt": (20, 50), "inaturalist2018": (3, 3)}
"""Dataset -> validation and test samples of a class."""

FIXED = 3e-4
"""l2 that PROTOCOL 3 names for three experts."""

SHOWN = 5000
"""Test samples, at most, on which the fitted calibration is compared with voting."""


class Logits:
    """Where the drawn logits come from: the same experts for every split."""

    def __init__(self, dataset: str, every: int) -> None:
        self.counts = torch.as_tensor(known_counts(dataset).by_split["train"])[::every]
        self.folds = fold_rule("paper").members(self.counts.numpy())
        self.per_class = dict(zip(("val", "test"), SAMPLES[dataset], strict=True))
        generator = torch.Generator().manual_seed(0)
        widths = {name: len(ids) + 1 for name, ids in self.folds.items()}
        self.scales = {name: 0.6 + 0.8 * torch.rand(width, generator=generator) for name, width in widths.items()}
        self.shifts = {name: torch.randn(width, generator=generator) for name, width in widths.items()}

    @property
    def width(self) -> int:
        return len(self.counts) + len(self.folds)

    def labels(self, split: str) -> Tensor:
        return torch.arange(len(self.counts)).repeat_interleave(self.per_class[split])

    def draw(self, split: str, samples: Tensor | None = None) -> tuple[list[MemberLogits], Tensor]:
        """Members and labels of the samples at these positions of a split, or of all."""
        labels = self.labels(split) if samples is None else self.labels(split)[samples]
        generator = torch.Generator().manual_seed(1 if split == "val" else 2)
        signal = 2 + 0.5 * self.counts.float().log()
        members = []
        for name, ids in self.folds.items():
            classes = torch.as_tensor(ids)
            target = torch.full((len(self.counts),), len(classes))
            target[classes] = torch.arange(len(classes))
            logits = torch.randn(len(labels), len(classes) + 1, generator=generator)
            logits[torch.arange(len(labels)), target[labels]] += signal[labels]
            logits[:, :-1] += 0.3 * self.counts[classes].float().log()
            logits.mul_(self.scales[name]).add_(self.shifts[name])
            members.append(MemberLogits(f"experts/{name}", "experts", classes, "reject", logits))
        return members, labels


def fit(logits: Logits, l2: str) -> dict[str, float]:
    members, labels = logits.draw("val")
    fuser = ltbench.get_fuser("joint", len(logits.counts), l2=l2 if l2 == "auto" else float(l2))
    before = forget_peak()
    started = time.perf_counter()
    fuser.fit(members, labels)
    seconds, extra = time.perf_counter() - started, peak() - before
    del members
    total = len(logits.labels("test"))
    test, wanted = logits.draw("test", torch.arange(0, total, math.ceil(total / SHOWN)))
    voting = ltbench.get_fuser("soft", len(logits.counts))
    right = [100 * float((way.log_posterior(test).argmax(1) == wanted).double().mean()) for way in (voting, fuser)]
    return {"seconds": seconds, "extra": extra, "voting": right[0], "joint": right[1], "l2": fuser.state()["l2"]}


def fuse(logits: Logits) -> dict[str, float]:
    few = torch.arange(0, len(logits.labels("val")), 20)
    fuser = ltbench.get_fuser("joint", len(logits.counts), l2=FIXED, max_iterations=3).fit(*logits.draw("val", few))
    members, _ = logits.draw("test")
    before = forget_peak()
    started = time.perf_counter()
    log_q = fuser.log_posterior(members)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "extra": peak() - before - log_q.numel() * log_q.element_size()}


def in_a_process(task: Sequence[str], options: argparse.Namespace, dataset: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--every", str(options.every), "--threads", str(options.threads)]
    done = subprocess.run(
        [*command, "--dataset", dataset, "--task", *task], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def report(options: argparse.Namespace, dataset: str) -> None:
    logits = Logits(dataset, options.every)
    size = {split: len(logits.labels(split)) * logits.width * 4 for split in ("val", "test")}
    print(
        f"{dataset}: {len(logits.counts)} classes, {logits.width} logits; "
        + ", ".join(f"{split} {len(logits.labels(split))} samples ({size[split] / MB:.0f} MB)" for split in size)
    )

    def line(what: str, split: str, measured: dict[str, float], note: str) -> None:
        extra = measured["extra"]
        print(
            f"{what:16}{measured['seconds']:9.2f} s{extra / MB:8.0f} MB = {extra / size[split]:.2f} of the logits, "
            f"{extra / size[split] / 2:.2f} of a float64 copy{note}",
            flush=True,
        )

    fixed = in_a_process(["fit", f"{FIXED:g}"], options, dataset)
    line(f"fit, l2 = {FIXED:g}", "val", fixed, "")
    auto = in_a_process(["fit", "auto"], options, dataset)
    line("fit, l2 = auto", "val", auto, f"; takes l2 = {auto['l2']:g}")
    line("fuse", "test", in_a_process(["fuse"], options, dataset), ", beyond the posterior")
    print(f"auto over fixed: {auto['seconds'] / fixed['seconds']:.1f} times the seconds")
    print(f"accuracy by voting {auto['voting']:.1f}, joint {fixed['joint']:.1f} (auto: {auto['joint']:.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=list(SAMPLES), help="by default both")
    parser.add_argument("--every", type=int, default=1, help="keep every Nth class")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.task:
        kind, *l2 = options.task
        logits = Logits(options.dataset, options.every)
        print(json.dumps(fit(logits, *l2) if kind == "fit" else fuse(logits)))
        return
    print(describe())
    for dataset in [options.dataset] if options.dataset else SAMPLES:
        report(options, dataset)


if __name__ == "__main__":
    main()
