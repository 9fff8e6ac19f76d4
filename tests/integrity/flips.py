"""Random byte flips over every file of a finished run's cache: afterwards the same numbers or a clear line, never others.

``python -m integrity.flips 200`` (in ``tests/``) prints what became of each and ends with 1 if one gave other numbers, a bug's
message, or a silent change. Before some flips parts of the cache are deleted, so that what they were made from is read.
"""

import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tiny import Outcome, lasting

from .damage import EXPERTS, before, remove

DELETED: list[tuple[str, ...]] = [
    (),
    ("evaluations",),
    ("evaluations", "stages/*/logits"),
    ("evaluations", "stages/*/logits", "features"),
    ("evaluations", "stages/experts-*"),
    ("evaluations", "stages/experts-*", "features", "stages/*/logits"),
]
"""What is deleted before a flip: each time more of the rest is read."""


SAME = ("the same", "the same, with a line")
RIGHT = {*SAME, "refused", *(f"refused, then {outcome}" for outcome in SAME)}


class Flip(NamedTuple):
    """One flip and what came of it.

    Attributes:
        file: below the cache.
        outcome: one of :data:`RIGHT`, or what is wrong.
    """

    file: str
    position: int
    deleted: tuple[str, ...]
    outcome: str

    @property
    def wrong(self) -> bool:
        return self.outcome not in RIGHT


def flips(count: int, seed: int, whole: Path, cache: Path, ltb: Callable[..., Outcome]) -> Iterator[Flip]:
    """Flip a byte ``count`` times, each in a fresh copy of ``whole``, the cache after :data:`EXPERTS`.

    Args:
        cache: where the copy goes; ``ltb`` uses it as its cache.
    """
    draw = random.Random(seed)
    expected = before(whole)
    for _ in range(count):
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(whole, cache)
        deleted = draw.choice(DELETED)
        remove(cache, *deleted)
        file = draw.choice(_files(cache))
        content = bytearray(file.read_bytes())
        position = draw.randrange(len(content))
        content[position] ^= draw.randrange(1, 256)
        file.write_bytes(content)
        outcome = _outcome(ltb(*EXPERTS), file, expected) if draw.random() < 0.7 else _fused(cache, file, expected, ltb)
        yield Flip(str(file.relative_to(cache)), position, deleted, outcome)


def _files(cache: Path) -> list[Path]:
    return sorted(
        file for file in cache.rglob("*") if file.is_file() and file.stat().st_size and file.name != "answer.json"
    )


def _fused(cache: Path, file: Path, expected: list[dict], ltb: Callable[..., Outcome]) -> str:
    """``ltbench fuse RUN`` first; where it refuses, the run mends what it can."""
    (run,) = (path.name for path in cache.glob("runs/*"))
    done = ltb("fuse", run, "--fuser", "soft", "--json")
    if done.code == 0:
        return _outcome(done, file, expected)
    refused = _outcome(done, file, expected)
    return refused if refused != "refused" else f"refused, then {_outcome(ltb(*EXPERTS), file, expected)}"


def _outcome(done: Outcome, file: Path, expected: list[dict]) -> str:
    if "This is a bug" in done.err or "Traceback" in done.err:
        return f"a bug's message: {done.err}"
    if done.code == 4 and done.err.count("Error: ") == 1:
        return "refused"
    if done.code:
        return f"exit {done.code}: {done.err}"
    if [lasting(record) for record in json.loads(done.out)["records"]] != expected:
        return f"other numbers: {done.err}"
    return "the same, with a line" if str(file) in done.err else "the same"


def main(count: int, seed: int) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from ltbench.cli import invoke

    def ltb(*arguments: str) -> Outcome:
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            code = invoke(arguments)
        return Outcome(code, out.getvalue(), err.getvalue())

    with TemporaryDirectory() as folder:
        whole, cache = Path(folder) / "whole", Path(folder) / "cache"
        os.environ["LTBENCH_CACHE"] = str(whole)
        done = ltb(*EXPERTS)
        assert done.code == 0, done.err
        (whole / "answer.json").write_text(done.out)
        os.environ["LTBENCH_CACHE"] = str(cache)
        made = []
        for number, flip in enumerate(flips(count, seed, whole, cache, ltb), 1):
            made.append(flip)
            without = f" (without {', '.join(flip.deleted)})" if flip.deleted else ""
            print(f"{number:4} {flip.file}, byte {flip.position}{without}: {flip.outcome}", flush=True)
    for outcome, times in Counter("WRONG" if flip.wrong else flip.outcome for flip in made).most_common():
        print(f"{times:4} {outcome}")
    return int(any(flip.wrong for flip in made))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0))
