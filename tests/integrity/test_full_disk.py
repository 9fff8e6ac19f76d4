"""A disk that is full leaves what was there, says so in one line, and costs nothing but the time until there is room."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from results.records import record
from tiny import Outcome

from ltbench.results.store import save

from .damage import RUN, numbers

Ltb = Callable[..., Outcome]


class Disk:
    """A file system of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kilobytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(self.folder)], check=True)

    def fill(self) -> None:
        with (self.folder / "filler").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield Disk(folder)
    subprocess.run(["umount", str(folder)], check=True)


def test_the_old_leaderboard_stays(ltb: Ltb, disk: Disk) -> None:
    results = disk.folder / "results"
    save(record(accuracy=0.5), results)
    assert ltb("leaderboard", "--results", results, "--write").code == 0
    (page,) = results.rglob("LEADERBOARD.md")
    save(record("baseline", accuracy=0.4), results)
    disk.fill()
    before = disk.files()
    done = ltb("leaderboard", "--results", results, "--write")
    assert done.code == 4
    said = f"{page} cannot be written: No space left on device. Free some room or choose another folder."
    assert done.complaint == said
    assert disk.files() == before, "the old page, and nothing beside it"


def test_the_old_records_stay(ltb: Ltb, disk: Disk, cache: Path) -> None:
    results = disk.folder / "results"
    assert ltb(*RUN, "--results", results).code == 0
    for path in results.rglob("*--*.json"):
        path.write_text("{}\n")
    disk.fill()
    before = disk.files()
    done = ltb(*RUN, "--results", results)
    assert done.code == 4
    assert f"Error: {results}" in done.err
    assert "No space left on device. Free some room or choose another folder with --results." in done.err
    assert disk.files() == before


def test_a_run_whose_cache_is_full_goes_on_when_there_is_room(
    ltb: Ltb, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every size something else is what does not fit: the dataset, a checkpoint, the weights, features, logits, records."""
    monkeypatch.setenv("LTBENCH_CACHE", str(disk.folder))
    named = []
    for kilobytes in range(100, 4000, 100):
        disk.resize(kilobytes)
        done = ltb(*RUN)
        if done.code == 0:
            break
        (line,) = [line for line in done.err.splitlines() if line.startswith("Error: ")]
        assert done.code == 4, line
        assert line.endswith("Free some room or set LTBENCH_CACHE to another folder."), line
        assert not list(disk.folder.rglob("*.tmp"))
        named.append(Path(line.split()[1]).relative_to(disk.folder).parts[0])
    assert {"datasets", "stages"} <= set(named)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "roomy"))
    assert numbers(done) == numbers(ltb(*RUN))
