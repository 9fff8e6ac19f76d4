"""What ``ltbench data check`` says of the annotation lists of a benchmark. No torch."""

from collections.abc import Sequence
from pathlib import Path

from ltbench_datasets.published.annotations import parse, read_content
from ltbench_datasets.published.benchmark import Benchmark
from ltbench_datasets.published.image_names import class_names, image_names
from ltbench_datasets.published.inspection import ListReport, inspect_list
from ltbench_datasets.published.list_files import fetched_folder, require_list


def inspect_lists(benchmark: Benchmark, folders: Sequence[Path]) -> list[ListReport]:
    """A report for each list, looked for in ``folders``. Raises DataError when one is missing or cannot be read."""
    files = {name: require_list(benchmark, name, folders) for name in benchmark.lists}
    train = parse(read_content(files["train"]), files["train"])
    names = class_names(image_names(benchmark, train), train.labels)
    return [
        inspect_list(benchmark, name, file, [file.parent, fetched_folder(benchmark)], names)
        for name, file in files.items()
    ]


def list_lines(report: ListReport) -> list[str]:
    """What was found about a list, for a reader."""
    state = "wrong" if report.problems else "ok"
    known = f"published variant {report.variant}" if report.variant else "no published variant"
    if not report.variant and not report.problems:
        known += ", but of the published number of images in each class"
    lines = [f"{report.name:6}list    {state:8}{report.images:,} images, {known}: {report.file}"]
    for problem in report.problems:
        lines.append(f"{'':14}{problem.kind} ({problem.count:,}):")
        lines += [f"{'':16}{example}" for example in problem.examples]
        if problem.count > len(problem.examples):
            lines.append(f"{'':16}...")
    if report.reference is not None:
        lines.append(f"{'':14}compared line by line with {report.reference}")
    return lines
