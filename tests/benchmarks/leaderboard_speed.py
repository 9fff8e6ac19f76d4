"""Seconds of ``ltbench leaderboard`` over many records of many test samples, and of its bootstrap against drawing the samples.

    python tests/benchmarks/leaderboard_speed.py [--records 1107] [--classes 1000] [--samples 50000] [--seeds 3]

Drawn records: rows of one method under different settings, one baseline, as many seeds each; 30 % of a row's answers are
drawn anew. The command runs in a process of its own, start-up included. Goal: 3 s.

The reference is the bootstrap as it was: within every class as many samples are drawn as it has, for all rows at once, and a
product of how often each was drawn with the differences gives the sums. It stands below, so that the ratio can be taken again;
``--reference-rows`` limits it to some rows. The drawing of the samples, which it does once for all rows, is timed apart.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from ltbench_datasets.published.facts import known_counts
from results.records import record

from ltbench.common.canonical import digest
from ltbench.results.marks import new_mark
from ltbench.results.record import Record
from ltbench.results.schema import DatasetInfo, MemberInfo
from ltbench.results.store import mark_recomputed, save
from ltbench.statistics.bootstrap import Difference, stratified_bootstraps

RESAMPLES, BLOCK = 10_000, 100_000


def drawn_dataset(classes: int, samples: int) -> tuple[DatasetInfo, np.ndarray]:
    """ImageNet-LT's counts, stretched to so many classes; labels int64[N] of the test split."""
    real = np.sort(known_counts("imagenet-lt").by_split["train"])[::-1]
    counts = real[np.linspace(0, len(real) - 1, classes).astype(int)]
    info = DatasetInfo(
        name="drawn-lt",
        fingerprint=digest(["drawn", classes, samples]),
        num_classes=classes,
        train_counts=tuple(counts.tolist()),
        train=int(counts.sum()),
        val=20 * classes,
        test=samples,
        options={},
        skipped={},
    )
    return info, np.arange(samples) * classes // samples


def drawn_records(options: argparse.Namespace) -> list[Record]:
    info, labels = drawn_dataset(options.classes, options.samples)
    random = np.random.default_rng(0)
    right = random.random((options.seeds, options.samples)) < 0.5

    def made(method: str, fuser: str, seed: int, correct: np.ndarray, **more: Any) -> Record:
        member = MemberInfo(name=f"{method}/all", method=method, num_classes=options.classes, outside="none")
        shared = {"data": info.name, "dataset": info, "labels": labels, "members": [member]}
        return record(method, fuser, seed=seed, correct=correct, **shared, **more)

    seeds = range(options.seeds)
    found = [made("baseline", "none", seed, right[seed], role="reference") for seed in seeds]
    for row in range(1, options.records // options.seeds):
        anew = random.random(right.shape) < 0.3
        correct = np.where(anew, random.random(right.shape) < 0.4 + 0.2 * random.random(), right)
        settings = {"experts": {"oe_weight": row / 1000}}
        found += [made("experts", "joint", seed, correct[seed], settings=settings) for seed in seeds]
    return found


def by_drawing_samples(differences: list[np.ndarray], labels: np.ndarray) -> tuple[list[Difference], float]:
    """The bootstrap of before, of int8[S, N] each; and the seconds that the drawing alone took."""
    random = np.random.RandomState(0)
    values = np.concatenate(differences).T
    sums = np.zeros((RESAMPLES, values.shape[1]), dtype=np.int64)
    drawing = 0.0
    for label in np.unique(labels):
        rows = values[labels == label].astype(np.float32)
        block = max(1, BLOCK // len(rows))
        for start in range(0, RESAMPLES, block):
            started, count = time.perf_counter(), min(block, RESAMPLES - start)
            drawn = random.randint(len(rows), size=(count, len(rows)), dtype=np.min_scalar_type(len(rows) - 1))
            flat = drawn + len(rows) * np.arange(count)[:, None]
            times = np.bincount(flat.ravel(), minlength=count * len(rows)).reshape(count, len(rows))
            drawing += time.perf_counter() - started
            sums[start : start + count] += (times.astype(np.float32) @ rows).astype(np.int64)
    answers, start = [], 0
    for difference in differences:
        seeds = len(difference)
        times = np.random.RandomState([0, seeds]).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
        resampled = (sums[:, start : start + seeds] * times).sum(axis=1)
        points = 100 / difference.size
        low, high = points * np.quantile(resampled, [0.025, 0.975])
        smaller = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
        p = min(1.0, 2 * (smaller + 1) / (RESAMPLES + 1))
        answers.append(Difference(points * float(difference.sum()), float(low), float(high), p))
        start += seeds
    return answers, drawing


def command_seconds(folder: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "ltbench", "leaderboard", "--results", str(folder), "--json"]
    run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1107)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="the command runs so often; the fastest counts")
    parser.add_argument("--reference-rows", type=int, help="rows of which the reference is taken; by default all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        records = drawn_records(options)
        saved = {save(one, Path(temporary)): one for one in records}
        mark_recomputed(saved, new_mark("benchmark", None))
        seconds = min(command_seconds(Path(temporary)) for _ in range(options.rounds))
    print(
        f"{len(records)} records of {options.samples:,} samples of {options.classes} classes, {options.seeds} seeds a row"
    )
    print(f"ltbench leaderboard {seconds:7.2f} s   (goal 3)")
    rows = np.stack([one.correct() for one in records]).reshape(-1, options.seeds, options.samples)
    labels, groups = records[0].labels(), {"all": np.arange(options.classes)}
    started = time.perf_counter()
    found = stratified_bootstraps([(row, rows[0]) for row in rows[1:]], labels, groups)
    bootstrap = time.perf_counter() - started
    few = rows[1:][: options.reference_rows]
    started = time.perf_counter()
    expected, drawing = by_drawing_samples([row.astype(np.int8) - rows[0].astype(np.int8) for row in few], labels)
    reference = drawing + (time.perf_counter() - started - drawing) * len(found) / len(few)
    print(f"bootstrap           {bootstrap:7.2f} s")
    print(
        f"by drawing samples  {reference:7.2f} s: {reference / bootstrap:.1f} times as long"
        + (f", from {len(few)} rows" if len(few) < len(found) else "")
    )
    apart = max(
        max(abs(one["all"].low - other.low), abs(one["all"].high - other.high)) / (other.high - other.low)
        for one, other in zip(found, expected, strict=False)
    )
    print(f"ends of the intervals differ by {apart:.3f} of an interval's length at most")


if __name__ == "__main__":
    main()
