"""What a GPU makes of ltbench: images per second through the engine, beside a bare loop and beside no input at all.

    python tests/benchmarks/gpu.py [--minutes 5] [--json FILE]      on one GPU
    python tests/benchmarks/gpu.py --dry-run                        every line of it in tiny, on the CPU: no number means anything

Drawn 500 x 375 JPEGs of 100 classes at 224 pixels, batches of 256; ImageNet-LT's augmentation. Few photographs come again and
again, so that the files lie in memory: what is measured is not the disk.

- harness: ``context.train``: reading, augmentation, training, without validation; the second epoch by the engine's own log.
- bare: a plain torch loop on the same images, with the same cuts, worker processes, augmentation on the device, autocast and
  channels_last. Goal: the harness has 0.95 of its speed.
- step: forward, backward and step on one batch that lies on the device.
- usual: PIL and torchvision's transforms in as many worker processes; else as bare.

Every line is measured once; then, while there is time, the trainings again. Printed are medians and how many there are.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from gpu_loops import Loops, Network
from machine import describe
from photos import draw_photos

from ltbench.config import ComputeConfig
from ltbench.engine.machine.world import usable_cores
from ltbench.errors import LtbenchError

PUBLISHED = 2470
"""Images per second of ResNet-50 (v1.5) on one A100, mixed precision, batch 256, in NVIDIA's DeepLearningExamples (PyTorch)."""

GOAL = 0.95

NETWORKS = {
    "ResNet-10": Network("resnet10", 16384, projection=512),
    "ResNet-50": Network("resnet50", 7680),
    "ViT-S/16": Network("vit_small_patch16_224", 7680),
}

TINY_RESNET = Network("resnet10", 8, projection=8, kwargs={"widths": [16, 16, 16, 16]})

TINY_NETWORKS = {
    "ResNet-10": TINY_RESNET,
    "ResNet-50": TINY_RESNET,
    "ViT-S/16": Network(
        "vit_small_patch16_224", 8, kwargs={"img_size": 32, "embed_dim": 32, "depth": 1, "num_heads": 2}
    ),
}
"""What stands in for them in a dry run."""

Measure = Callable[[], float]


@dataclass
class Case:
    """A line of the table: ways of doing one thing, each in images per second.

    Attributes:
        ways: name -> how it is measured.
        over: pairs of ways; the first one's speed over the second one's is printed.
        again: measured again while there is time.
    """

    name: str
    ways: dict[str, Measure]
    over: tuple[tuple[str, str], ...] = ()
    again: bool = False
    found: dict[str, list[float]] = field(default_factory=dict)
    missing: str = ""

    def measure(self) -> None:
        for way, measured in self.ways.items():
            rate = measured()
            self.found.setdefault(way, []).append(rate)
            if torch.cuda.is_available():
                gc.collect()
                torch.cuda.empty_cache()

    def rates(self) -> dict[str, float]:
        return {way: statistics.median(values) for way, values in self.found.items()}

    def ratios(self) -> dict[str, float]:
        rates = self.rates()
        return {f"{one} / {other}": rates[one] / rates[other] for one, other in self.over if {one, other} <= {*rates}}


def cases(loops: Loops, networks: dict[str, Network], precision: str) -> Iterator[Case]:
    """In the order of what matters most."""
    for name in ("ResNet-50", "ResNet-10", "ViT-S/16"):
        for storage in ("packed", "files"):
            yield training(loops, name, networks[name], storage, precision)
    large, amp = networks["ResNet-50"], "fp16" if loops.device == "cuda" else precision
    yield Case(
        f"ResNet-50 as NVIDIA trains it ({amp}, no jitter); {PUBLISHED:,} images/s published for an A100",
        {
            "harness": lambda: loops.harness(large, "packed", amp, jitter=0.0),
            "bare": lambda: loops.bare(large, "packed", amp, jitter=0.0),
            "step": lambda: loops.without_input(large, amp),
            "published": lambda: PUBLISHED,
        },
        over=(("harness", "bare"), ("harness", "published"), ("step", "published")),
    )
    yield compiled(loops, "ResNet-50", large, precision)
    for number in ("fp32", "fp16", "bf16"):
        yield Case(
            f"ResNet-50 in {number}, packed", {"harness": lambda number=number: loops.harness(large, "packed", number)}
        )
    yield evaluation(loops, "ResNet-50", large, precision)
    yield reading(loops)
    for name in ("ResNet-10", "ResNet-50"):
        network = networks[name]
        yield Case(
            f"{name} from files, the usual input", {"usual": lambda network=network: loops.usual(network, precision)}
        )
    yield compiled(loops, "ViT-S/16", networks["ViT-S/16"], precision)


def training(loops: Loops, name: str, network: Network, storage: str, precision: str) -> Case:
    return Case(
        f"{name} from {'a packed copy' if storage == 'packed' else 'files'}, {precision}",
        {
            "harness": lambda: loops.harness(network, storage, precision),
            "bare": lambda: loops.bare(network, storage, precision),
            "step": lambda: loops.without_input(network, precision),
        },
        over=(("harness", "bare"), ("harness", "step")),
        again=True,
    )


def evaluation(loops: Loops, name: str, network: Network, precision: str) -> Case:
    return Case(
        f"{name} evaluated, {precision}",
        {
            "packed": lambda: loops.evaluation(network, "packed", precision),
            "files": lambda: loops.evaluation(network, "files", precision),
            "forward": lambda: loops.forward_alone(network, precision),
        },
        over=(("packed", "forward"), ("files", "forward")),
    )


def reading(loops: Loops) -> Case:
    most = max(1, min(16, usable_cores() - 1))

    def steps(workers: int) -> int:
        return 2 if loops.device == "cpu" else max(4, 3 * workers)

    numbers = sorted({1, max(1, most // 4), max(1, most // 2), most})
    ways: dict[str, Measure] = {
        f"{storage}, {number}": lambda storage=storage, number=number: loops.reading(storage, number, steps(number))
        for storage in ("files", "packed")
        for number in numbers
    }
    return Case("input alone, by worker processes", ways, over=((f"files, {most}", "files, 1"),) if most > 1 else ())


def compiled(loops: Loops, name: str, network: Network, precision: str) -> Case:
    case = Case(
        f"{name} compiled, packed, {precision}",
        {
            "eager": lambda: loops.harness(network, "packed", precision),
            "compiled": lambda: loops.harness(network, "packed", precision, compile=True),
            "step, compiled": lambda: loops.without_input(network, precision, compiled=True),
        },
        over=(("compiled", "eager"), ("compiled", "step, compiled")),
    )
    if "compile" not in ComputeConfig.model_fields:
        case.missing = "this ltbench has no compute.compile"
    return case


def run(planned: list[Case], deadline: float, done: Callable[[], None]) -> None:
    """Each case in turn, then those that are worth it again; none is begun that would end too late, by what it or the longest
    one so far took. ``done`` is called after each."""
    cost: dict[str, float] = {}
    for case in planned:
        if not case.missing and time.monotonic() + 0.7 * max(cost.values(), default=0) > deadline:
            case.missing = "out of time"
        if not case.missing:
            cost[case.name] = timed(case)
            done()
    again = [case for case in planned if case.again and not case.missing]
    while again:
        for case in again:
            if time.monotonic() + cost[case.name] > deadline:
                return
            timed(case)
            done()


def timed(case: Case) -> float:
    """Measure it; the seconds that it took."""
    started = time.monotonic()
    try:
        case.measure()
    except (LtbenchError, torch.cuda.OutOfMemoryError) as error:
        case.missing = " ".join(str(error).split())[:200]
    seconds = time.monotonic() - started
    print(f"{seconds:6.1f} s  {case.name}", file=sys.stderr, flush=True)
    return seconds


def machine(device: str) -> dict[str, Any]:
    card = torch.cuda.get_device_properties(0) if device == "cuda" else None
    return {
        "device": card.name if card else "CPU",
        "memory_gb": round(card.total_memory / 2**30, 1) if card else None,
        "processor": describe(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if card else None,
        "timm": timm.__version__,
    }


def table(planned: list[Case]) -> str:
    lines = ["| what | images/s | ratios | n |", "|---|---|---|---|"]
    for case in planned:
        if not case.found:
            lines.append(f"| {case.name} | not measured: {case.missing or 'interrupted'} | | 0 |")
            continue
        rates = ", ".join(f"{way} {rate:,.0f}" for way, rate in case.rates().items())
        ratios = ", ".join(f"{pair} **{value:.2f}**" for pair, value in case.ratios().items())
        lines.append(f"| {case.name} | {rates} | {ratios} | {min(map(len, case.found.values()))} |")
    return "\n".join(lines)


def as_json(planned: list[Case], about: dict[str, Any], seconds: float) -> dict[str, Any]:
    lines = [
        {"name": case.name, "images_per_s": case.found, "ratios": case.ratios(), "missing": case.missing}
        for case in planned
    ]
    return {"machine": about, "seconds": round(seconds, 1), "cases": lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="when to stop; a line that has begun is finished")
    parser.add_argument("--json", type=Path, help="write every single measurement there")
    parser.add_argument("--dry-run", action="store_true", help="tiny, on the CPU")
    parser.add_argument(
        "--no-compile", action="store_true", help="without the lines that compile, which take half a minute"
    )
    options = parser.parse_args()
    if not (options.dry_run or torch.cuda.is_available()):
        sys.exit("no GPU that CUDA sees; --dry-run tries every line on the CPU")
    device, started = "cpu" if options.dry_run else "cuda", time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["LTBENCH_CACHE"] = str(folder / "cache")
        photos = draw_photos(folder / "photos", 4 if options.dry_run else 128)
        loops = Loops(device, photos, *((32, 4) if options.dry_run else (224, 256)), folder)
        planned = list(cases(loops, TINY_NETWORKS if options.dry_run else NETWORKS, "bf16"))
        for case in planned:
            case.again &= not options.dry_run
            if options.no_compile and "compiled" in case.ways:
                case.missing = "--no-compile"
        about = machine(device)

        def write() -> None:
            if options.json:
                content = as_json(planned, about, time.monotonic() - started)
                options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

        try:
            run(planned, started + 60 * options.minutes, write)
        except KeyboardInterrupt:
            print("interrupted: what follows is what there was by then", file=sys.stderr)
        write()
    print(", ".join(f"{name} {value}" for name, value in about.items() if value is not None))
    print(f"goal: harness / bare at least {GOAL}; {time.monotonic() - started:.0f} s in all")
    print(table(planned))


if __name__ == "__main__":
    main()
