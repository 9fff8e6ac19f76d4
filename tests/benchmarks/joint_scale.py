"""Time and memory of ``joint`` at the sizes of ImageNet-LT and iNaturalist 2018.

    python tests/benchmarks/joint_scale.py [--dataset imagenet-lt] [--every 1] [--threads 2] [--before]

Three experts over the many-, medium- and few-shot classes of the real class counts, each with a reject logit. ImageNet-LT:
20,000 validation and 50,000 test samples of 1,003 logits; iNaturalist 2018: 24,426 and 24,426 of 8,145. The experts are
drawn: linear classifiers whose class means are estimated from as many samples as the class has for training, biased
towards frequent classes, each logit in a scale of its own. ``--every 10`` keeps every tenth class.

Fitting with a given l2, fitting with ``l2 = auto`` and fusing run in a process each. Memory is the peak less what was
resident with the logits in place. Goal: less than a float64 copy of the logits, that is, no array over all samples beyond
the posterior that is asked for. ``--before`` also fits with ``l2 = auto`` as it was done before (``joint_before.py``), and says
how far the parameters are from those.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from joint_before import JointLoss as LossOfBefore
from joint_before import fit_with_l2 as fit_as_before
from ltbench_datasets.published.facts import known_counts
from ltbench_fusers.calibration import fit_with_l2
from ltbench_fusers.joint_calibration import JointCalibration, JointLoss
from machine import MB, describe, forget_peak, peak
from torch import Tensor

import ltbench
from ltbench.data.folds import fold_rule
from ltbench.fuser import Fuser, MemberLogits

SAMPLES = {"imagenet-lt": (20, 50), "inaturalist2018": (3, 3)}
"""Dataset -> validation and test samples of a class."""

FIXED = 3e-4
"""l2 that PROTOCOL 3 names for three experts."""

SHOWN = 5000
"""Test samples, at most, on which the fitted calibration is compared with voting."""


FEATURES, NOISE, SHARPNESS, BIAS, SPREAD = 64, 2.2, 5.0, 0.2, 0.2
"""Of the drawn experts: width of their features; noise of a feature against the spread of the class means; what distances
are multiplied by; weight of the log class counts among the logits; range of the logits' own scales."""


class Experts:
    """The drawn experts, the same for every split."""

    def __init__(self, dataset: str, every: int) -> None:
        self.counts = torch.as_tensor(known_counts(dataset).by_split["train"])[::every]
        self.folds = {name: torch.as_tensor(ids) for name, ids in fold_rule("paper").members(self.counts).items()}
        self.per_class = dict(zip(("val", "test"), SAMPLES[dataset], strict=True))
        generator = torch.Generator().manual_seed(0)
        shape = len(self.counts), FEATURES
        self.means = torch.randn(shape, generator=generator)
        self.estimates = self.means + NOISE * torch.randn(shape, generator=generator) / self.counts[:, None].sqrt()
        self.scales = 1 + SPREAD * (torch.rand(len(self.counts), generator=generator) - 0.5)

    @property
    def width(self) -> int:
        return len(self.counts) + len(self.folds)

    def labels(self, split: str) -> Tensor:
        return torch.arange(len(self.counts)).repeat_interleave(self.per_class[split])

    def logits(self, split: str, step: int = 1) -> tuple[list[MemberLogits], Tensor]:
        """Members and labels for every ``step``-th sample of a split."""
        labels = self.labels(split)[::step]
        generator = torch.Generator().manual_seed(1 if split == "val" else 2)
        features = self.means[labels] + NOISE * torch.randn(len(labels), FEATURES, generator=generator)
        members = []
        for name, classes in self.folds.items():
            weights = SHARPNESS / FEATURES * self.estimates[classes]
            offset = BIAS * self.counts[classes].log() - (weights * self.estimates[classes]).sum(dim=1) / 2
            logits = torch.empty(len(labels), len(classes) + 1)
            torch.addmm(offset, features, weights.T, out=logits[:, :-1])
            outside = ~torch.isin(labels, classes)
            logits[:, -1] = logits[:, :-1].amax(dim=1) + outside + torch.randn(len(labels), generator=generator)
            logits[:, :-1] *= self.scales[classes]
            members.append(MemberLogits(f"experts/{name}", "experts", classes, "reject", logits))
        return members, labels


def briefly_fitted(experts: Experts) -> Fuser:
    """On a few samples and for a few steps: what it takes to fuse does not depend on the values learned."""
    few, labels = experts.logits("val", 20)
    return ltbench.get_fuser("joint", len(experts.counts), l2=FIXED, max_iterations=3).fit(few, labels)


def fit(experts: Experts, l2: str) -> dict[str, float]:
    briefly_fitted(experts)  # what torch imports for its first optimiser is no cost of this fit
    members, labels = experts.logits("val")
    before, started = forget_peak(), time.perf_counter()
    joint = ltbench.get_fuser("joint", len(experts.counts), l2=l2 if l2 == "auto" else float(l2)).fit(members, labels)
    seconds, extra = time.perf_counter() - started, peak() - before
    del members
    test, wanted = experts.logits("test", math.ceil(len(experts.labels("test")) / SHOWN))
    voting = ltbench.get_fuser("soft", len(experts.counts))
    right = [100 * float((fuser.log_posterior(test).argmax(1) == wanted).double().mean()) for fuser in (voting, joint)]
    return {"seconds": seconds, "extra": extra, "voting": right[0], "joint": right[1], "l2": joint.state()["l2"]}


def before(experts: Experts) -> dict[str, float]:
    """Seconds of both, one after the other on the same logits, and how far they are from each other."""
    briefly_fitted(experts)
    members, labels = experts.logits("val")
    started = time.perf_counter()
    config, of_members = JointCalibration.Config(), (members, labels, len(experts.counts), "drop")
    loss = LossOfBefore(*of_members)
    old = fit_as_before(loss, loss.start, labels, config, loss.curvature)
    seconds, started = time.perf_counter() - started, time.perf_counter()
    exact, rough = JointLoss(*of_members), JointLoss(*of_members, torch.float32)
    new = fit_with_l2(exact, exact.start, labels, config, rough.units, rough)
    now, rows = time.perf_counter() - started, torch.arange(len(labels))
    return {
        "before": seconds,
        "now": now,
        "l2 before": old.l2,
        "l2 now": new.l2,
        "held out": max(abs(new.held_out.get(l2, math.nan) - was) for l2, was in old.held_out.items()),
        "parameters": float((old.parameters - new.parameters).abs().max()),
        "loss": loss(new.parameters, rows, old.l2)[0] - loss(old.parameters, rows, old.l2)[0],
    }


def fuse(experts: Experts) -> dict[str, float]:
    joint = briefly_fitted(experts)
    members, _ = experts.logits("test")
    before, started = forget_peak(), time.perf_counter()
    log_q = joint.log_posterior(members)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "extra": peak() - before - log_q.numel() * log_q.element_size()}


def in_a_process(task: Sequence[str], options: argparse.Namespace, dataset: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--every", str(options.every), "--threads", str(options.threads)]
    done = subprocess.run(
        [*command, "--dataset", dataset, "--task", *task], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def report(options: argparse.Namespace, dataset: str) -> None:
    experts = Experts(dataset, options.every)
    size = {split: len(experts.labels(split)) * experts.width * 4 for split in ("val", "test")}
    print(
        f"{dataset}: {len(experts.counts)} classes, {experts.width} logits; "
        + ", ".join(f"{split} {len(experts.labels(split))} samples ({size[split] / MB:.0f} MB)" for split in size)
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
    line("fuse", "test", in_a_process(["fuse"], options, dataset), ", beyond the posterior")
    auto = in_a_process(["fit", "auto"], options, dataset)
    line("fit, l2 = auto", "val", auto, f"; takes l2 = {auto['l2']:g}")
    print(f"auto over fixed: {auto['seconds'] / fixed['seconds']:.1f} times the seconds")
    if options.before:
        both = in_a_process(["before"], options, dataset)
        print(
            f"auto as before {both['before']:.1f} s, in the same process now {both['now']:.1f} s: "
            f"{both['before'] / both['now']:.1f} times as fast; l2 {both['l2 before']:g} and {both['l2 now']:g}; held-out losses "
            f"differ by {both['held out']:.1e}, parameters by {both['parameters']:.1e} at most; loss now less before "
            f"{both['loss']:+.1e}"
        )
    print(f"accuracy by voting {auto['voting']:.1f}, joint {fixed['joint']:.1f} (auto: {auto['joint']:.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=list(SAMPLES), help="by default both")
    parser.add_argument("--every", type=int, default=1, help="keep every Nth class")
    parser.add_argument("--before", action="store_true", help="also fit as before: up to 10 minutes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.task:
        kind, *l2 = options.task
        experts = Experts(options.dataset, options.every)
        print(json.dumps({"fit": fit, "fuse": fuse, "before": before}[kind](experts, *l2)))
        return
    print(describe())
    for dataset in [options.dataset] if options.dataset else SAMPLES:
        report(options, dataset)


if __name__ == "__main__":
    main()
