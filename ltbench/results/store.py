"""Where records lie: ``<root>/<dataset>/<name>.json``. A run keeps its own below ``<cache>/runs/<run>/records``."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from ltbench.common.cache import cache_dir
from ltbench.common.canonical import digest
from ltbench.common.files import unreadable, write_text
from ltbench.common.parsing import json_value
from ltbench.common.sealed import read_text, seal
from ltbench.errors import DataError
from ltbench.results.consistency import contradictions, disagreeing
from ltbench.results.marks import Mark, Marks, content_digest, marks_path
from ltbench.results.marks import to_json as to_text
from ltbench.results.record import Record
from ltbench.results.reported import Reported

if TYPE_CHECKING:
    import pandas

RECORDS = "*--*--s*-*.json"
"""Names of record files: in a folder only these are read, for a run's folder holds other JSON files too."""

REPORTED = "reported*.json"
"""Names of files with published rows."""

Model = TypeVar("Model", bound=BaseModel)


def default_results_root(given: Path | None = None) -> Path:
    """The option, else ``LTBENCH_RESULTS``, else ``./results`` if it exists, else the runs in the cache."""
    if given is not None:
        return given
    if named := os.environ.get("LTBENCH_RESULTS"):
        return Path(named)
    here = Path("results")
    return here if here.is_dir() else cache_dir() / "runs"


def save(record: Record, root: Path, *, sealed: bool = False) -> Path:
    """Write ``<root>/<dataset>/<name>.json``, whole or not at all; a file with the same text is left untouched.

    Args:
        sealed: with a checksum, which is compared whenever the file is read (:mod:`ltbench.common.sealed`): for the cache.

    Raises:
        DataError: the place cannot be written, or a link leads out of ``root``.
    """
    path = below(root, record.dataset.name, f"{record.name}.json")
    text = seal(to_json(record)) if sealed else to_json(record)
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return path
    except OSError as error:
        raise unreadable(path, error) from error
    return write_text(path, text, advice=None if sealed else "Free some room or choose another folder with --results.")


def below(root: Path, *parts: str) -> Path:
    """A path below ``root``. Raises DataError where a link on the way leads elsewhere, or a part is no name."""
    path = root.joinpath(*parts)
    if any(part in ("", ".", "..") or Path(part).name != part for part in parts):
        raise DataError(f"{path} is not below {root}: a name must not lead to another folder.")
    found = Path(os.path.realpath(path.parent))  # resolve() raises for a loop of links
    if not found.is_relative_to(os.path.realpath(root)):
        raise DataError(f"{path.parent} is a link to {found}, outside of {root}: nothing is written there.")
    return path


def to_json(record: Record) -> str:
    """The text of a record's file: sorted keys, a line for each entry of the outer two levels."""
    return _lines(record.model_dump(mode="json"), levels=2) + "\n"


@dataclass(frozen=True)
class LeftOut:
    """A record that does not count: its file, and the first thing that is wrong with it."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Stored:
    """What :func:`load` found, sorted by path: the records that agree with themselves, and what is left out.

    ``recomputed``: :func:`ltbench.results.marks.content_digest` of records that a ``verified.json`` marks.
    """

    found: list[tuple[Path, Record]]
    left_out: list[LeftOut]
    recomputed: frozenset[str] = frozenset()

    @property
    def records(self) -> list[Record]:
        return [record for _, record in self.found]

    def of(self, dataset: str, root: Path) -> "Stored":
        """The records of one dataset, and what is left out of its folder below ``root``."""
        found = [(path, record) for path, record in self.found if record.dataset.name == dataset]
        left_out = [one for one in self.left_out if one.path.is_relative_to(root / dataset)]
        return Stored(found, left_out, self.recomputed)

    def note(self) -> str:
        """A line about what is left out; empty where nothing is."""
        if not self.left_out:
            return ""
        count, (first, *_) = len(self.left_out), self.left_out
        noun = "record is" if count == 1 else "records are"
        return f"{count} {noun} left out, 'ltbench verify' names each: {first.path.name}: {first.reason.rstrip('.')}."


def load(*places: Path) -> Stored:
    """The records in these files and (recursively) folders. Raises DataError for a place that is not there."""
    found: list[tuple[Path, Record]] = []
    left_out: list[LeftOut] = []
    for path in record_files(*places):
        try:
            record = read_record(path)
        except DataError as error:
            left_out.append(LeftOut(path, str(error).removeprefix(f"{path}: ")))
            continue
        if wrong := first_contradiction(path, record):
            left_out.append(LeftOut(path, wrong))
        else:
            found.append((path, record))
    odd = disagreeing(record for _, record in found)
    left_out += [LeftOut(found[position][0], reason) for position, reason in odd.items()]
    kept = [one for position, one in enumerate(found) if position not in odd]
    recomputed: set[str] = set()
    for path in {marks_path(path) for path, _ in kept}:
        try:
            recomputed |= {mark.sha256 for mark in read_marks(path).values()}
        except DataError as error:
            left_out.append(LeftOut(path, str(error).removeprefix(f"{path}: ")))
    return Stored(kept, sorted(left_out, key=lambda one: one.path), frozenset(recomputed))


def mark_recomputed(saved: Mapping[Path, Record], by: Mark) -> None:
    """Note in ``verified.json`` beside these files that their records were just computed from logits.

    Raises:
        DataError: a file cannot be read or written.
    """
    folders: dict[Path, dict[str, Record]] = {}
    for path, record in saved.items():
        folders.setdefault(marks_path(path), {})[record.name] = record
    for path, beside in folders.items():
        with _one_at_a_time(path):
            marks = read_marks(path)
            new = {name: by.model_copy(update={"sha256": content_digest(record)}) for name, record in beside.items()}
            known = {name: mark.sha256 for name, mark in marks.items()}
            if any(known.get(name) != mark.sha256 for name, mark in new.items()):
                write_text(path, to_text(Marks(recomputed=marks | new)))


def _one_at_a_time(path: Path) -> FileLock:
    """Held by who changes the file; the lock lies in the cache, not among results."""
    lock = cache_dir() / "locks" / f"{digest(os.path.realpath(path))[:20]}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock)


def read_marks(path: Path) -> dict[str, Mark]:
    """The marks in a ``verified.json``; none where there is no such file. Raises DataError for a malformed one."""
    return _checked(Marks, _json(path), path).recomputed if path.exists() else {}


def read_sound(path: Path) -> Record:
    """A record that agrees with itself. Raises DataError: :func:`read_record`, or it does not."""
    record = read_record(path)
    if wrong := next(iter(contradictions(record)), ""):
        raise DataError(f"{path}: {wrong}.")
    return record


def first_contradiction(path: Path, record: Record) -> str:
    """The first thing that does not agree within a record, or with the name of its file; empty where all does."""
    named = [] if path.name == f"{record.name}.json" else [f"the file should be called {record.name}.json"]
    return next(iter([*named, *contradictions(record)]), "")


def record_files(*places: Path) -> Iterator[Path]:
    """These files, and the record files in these folders and below. Raises DataError for a place that is not there."""
    return _files(places, RECORDS)


def load_reported(*places: Path) -> list[Reported]:
    """The published rows in these files and (recursively) folders. Raises DataError for a malformed file."""
    return [_checked(Reported, _json(path), path) for path in _files(places, REPORTED)]


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        DataError: one line that names the file: it cannot be read, is malformed, or contradicts itself.
    """
    return checked_record(_json(path), path)


def checked_record(content: Any, path: Path) -> Record:
    """The record in plain values that were read from ``path``. Raises as :func:`read_record`."""
    return _checked(Record, content, path)


def load_results(root: str | Path | None = None) -> "pandas.DataFrame":
    """One row for each record under ``root``. Records that contradict themselves are left out, with a warning.

    The columns, see :class:`ltbench.Record`: ``dataset``, ``methods``, ``fuser``, ``role``, ``fitted_on``, ``seed``; ``many``,
    ``medium``, ``few`` and ``all``, accuracies in percent under the record's own ``fold_rule``; ``ece``, ``nll``;
    ``selection``; those of :class:`ltbench.results.schema.Track`; ``precision``, ``device``; ``seconds``, of all its timings;
    ``config_hash``, ``fingerprint``, ``created``, ``name`` and ``path``.

    Args:
        root: by default ``LTBENCH_RESULTS``, else ``./results`` if it exists, else the runs in the cache.

    Raises:
        DataError: there is no record.
    """
    import pandas

    place = Path(root) if root is not None else default_results_root()
    stored = load(place)
    if stored.left_out:
        warnings.warn(stored.note(), stacklevel=2)
    if not stored.found:
        raise no_records(place, stored)
    return pandas.DataFrame([_row(path, record) for path, record in stored.found])


def _row(path: Path, record: Record) -> dict[str, Any]:
    return {
        "dataset": record.dataset.name,
        "methods": "+".join(record.methods),
        "fuser": record.fuser,
        "role": record.role,
        "fitted_on": record.fitted_on,
        "seed": record.seed,
        **{fold: record.metrics[record.fold_rule].get(fold) for fold in ("many", "medium", "few", "all")},
        **record.calibration.model_dump(),
        "fold_rule": record.fold_rule,
        "selection": record.selection.split,
        **record.track.model_dump(),
        "precision": record.environment.precision,
        "device": record.environment.device,
        "seconds": sum(record.timings.values()),
        "config_hash": record.config_hash,
        "fingerprint": record.dataset.fingerprint,
        "created": record.created,
        "name": record.name,
        "path": str(path),
    }


def _files(places: tuple[Path, ...], pattern: str) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(place.rglob(pattern))
        elif place.is_file():
            yield place
        else:
            raise no_records(place)


def no_records(place: Path, stored: Stored | None = None) -> DataError:
    """What to say when there is nothing below ``place``, or nothing that counts."""
    if stored and stored.left_out:
        return DataError(f"no sound record in {place}: {stored.note()}")
    return DataError(f"no records in {place}. 'ltbench run' makes some; --results names another folder.")


def _json(path: Path) -> Any:
    if path.exists() and not path.is_file():  # a FIFO, say, would be waited for
        raise DataError(f"{path} is no file.")
    text = read_text(path, must=False)
    try:
        return json_value(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from error


def _checked(model: type[Model], content: Any, path: Path) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        key = ".".join(map(str, problems[0]["loc"]))
        text = problems[0]["msg"].removeprefix("Value error, ")
        alone = not problems[1:] or (key, problems[0]["type"]) == ("schema_version", "value_error")
        more = "" if alone else f" (and {len(problems) - 1} more)"
        raise DataError(f"{path}: {key + ': ' if key else ''}{text}{more}.") from error


def _lines(value: Any, levels: int, indent: str = "") -> str:
    """JSON with a line for each entry of the outer ``levels`` of objects; lists and what lies deeper take one line."""
    if not levels or not isinstance(value, dict) or not value:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    inner = f"{indent} "
    entries = [
        f"{inner}{json.dumps(key, ensure_ascii=False)}: {_lines(value[key], levels - 1, inner)}"
        for key in sorted(value)
    ]
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
