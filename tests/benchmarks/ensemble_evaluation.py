"""Evaluating the full diverse ensemble through the engine, against one forward pass for each of its members.

    python tests/benchmarks/ensemble_evaluation.py [--rounds 5] [--test 100]        (goal: at least 2.5 times as fast)

All methods of ``--method all`` are trained on glyphs-lt by its recipes, but for one epoch each. Then the logits of all members
on the validation and test splits are computed in turns: by the engine, which reads each split once, computes what backbones
have in common once, and applies the heads to the features; and by running every member over both splits. The ensemble has 7
members. ``ltbench run --method all`` evaluates the 2 controls of GAN beside them: 9. Printed are medians over the rounds.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from machine import describe

from ltbench.backbones.checkpoints import weights_digest
from ltbench.engine.evaluation.inference import View, run_over
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.run import Engine
from ltbench.method import Member
from ltbench.results.stage import Stage
from ltbench.settings.recipes import resolve

SHORT = [
    "baseline.optim.epochs=1",
    "experts.optim={epochs = 1, min_steps = 0}",
    "experts.subset.many.optim={epochs = 1}",
    "experts.subset.few.optim={epochs = 1}",
    "uniform.optim.epochs=1",
    "gan.optim.epochs=1",
    "gan.generative.steps=5",
    "prototype.optim.epochs=1",
]
CONTROLS = ("resampled", "gaussian")


def trained(engine: Engine, methods: list[str]) -> list[tuple[Stage, list[Member]]]:
    return [(stage, engine._rebuilt(stage)) for stage in engine.plan.stages if stage.method in methods]


def by_engine(test: int, methods: list[str]) -> float:
    """Seconds for the logits of all members, as a run computes them."""
    shutil.rmtree(Path(os.environ["LTBENCH_CACHE"]) / "features")
    engine = make_engine(test)
    members = trained(engine, methods)
    started = time.perf_counter()
    engine._stage_logits.write(members)
    return time.perf_counter() - started


def by_member(test: int, methods: list[str]) -> float:
    """Seconds for a pass of every member over both splits."""
    engine = make_engine(test)
    members = [member for _, own in trained(engine, methods) for member in own]
    view = View(engine.bench.augment, engine.bench.image_size)
    started = time.perf_counter()
    for member in members:
        for split in ("val", "test"):
            run_over(member.module, engine.dataset.split(split), engine.compute, view)
    return time.perf_counter() - started


def make_engine(test: int) -> Engine:
    resolved = resolve(methods=["all"], overrides=[*SHORT, f"dataset.options.test_per_class={test}"])
    return Engine(resolved, Reporter(quiet=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--test", type=int, default=100, help="test images of each of the 100 classes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LTBENCH_CACHE"] = cache
        engine = make_engine(options.test)
        for stage in engine.plan.stages:
            engine.ensure(stage)
        engine.infer()
        everyone = [stage.method for stage in engine.plan.stages]
        images = sum(len(engine.dataset.split(name)) for name in ("val", "test"))
        print(f"{describe()}, precision {engine.compute.precision}, {images:,} images")
        for label, methods in (
            ("the ensemble", [name for name in everyone if name not in CONTROLS]),
            ("with the controls of GAN", everyone),
        ):
            members = [member for _, own in trained(engine, methods) for member in own]
            backbones = len({weights_digest(member.backbone) for member in members})
            times: dict[str, list[float]] = {"engine": [], "members": []}
            for _ in range(options.rounds):
                times["engine"].append(by_engine(options.test, methods))
                times["members"].append(by_member(options.test, methods))
            ours, theirs = (statistics.median(values) for values in times.values())
            print(
                f"{label}: {len(members)} members on {backbones} distinct backbones; engine {ours:.2f} s, one pass a member "
                f"{theirs:.2f} s: {theirs / ours:.2f} times as fast"
            )


if __name__ == "__main__":
    main()
