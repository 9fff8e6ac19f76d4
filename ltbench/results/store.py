"""Where records lie: ``<root>/<dataset>/<name>.json``. A run keeps its own below ``<cache>/runs/<run>/records``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ltbench.cache import cache_dir
from ltbench.errors import DataError
from ltbench.files import unreadable, write_text
from ltbench.results.record import Record
from ltbench.results.reported import Reported
from ltbench.sealed import read_text, seal

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
        sealed: with a checksum, which is compared whenever the file is read (:mod:`ltbench.sealed`): for the cache.

    Raises:
        DataError: the place cannot be written.
    """
    path = root / record.dataset.name / f"{record.name}.json"
    text = seal(to_json(record)) if sealed else to_json(record)
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return path
    except OSError as error:
        raise unreadable(path, error) from error
    return write_text(path, text, advice=None if sealed else "Free some room or choose another folder with --results.")


def to_json(record: Record) -> str:
    """The text of a record's file: sorted keys, a line for each entry of the outer two levels."""
    return _lines(record.model_dump(mode="json"), levels=2) + "\n"


def load(*places: Path) -> list[Record]:
    """The records in these files and (recursively) folders, sorted by path. Raises as :func:`read_record`."""
    return [record for _, record in find(*places)]


def find(*places: Path) -> Iterator[tuple[Path, Record]]:
    """Every record of :func:`load` with its path."""
    for path in record_files(*places):
        yield path, read_record(path)


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
    """One row for each record under ``root`` in flat columns; accuracies in percent under the record's own fold rule.

    Args:
        root: by default :func:`default_results_root`.

    Raises:
        DataError: there is no record, or a malformed file.
    """
    import pandas

    place = Path(root) if root is not None else default_results_root()
    rows = [_row(path, record) for path, record in find(place)]
    if not rows:
        raise no_records(place)
    return pandas.DataFrame(rows)


def _row(path: Path, record: Record) -> dict[str, Any]:
    return {
        "dataset": record.dataset.name,
        "methods": "+".join(record.methods),
        "fuser": record.fuser,
        "role": record.role,
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


def no_records(place: Path) -> DataError:
    """What to say when there is nothing below ``place``."""
    return DataError(f"no records in {place}. 'ltbench run' makes some; --results names another folder.")


def _json(path: Path) -> Any:
    text = read_text(path, must=False)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from error


def _checked(model: type[Model], content: Any, path: Path) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        key = ".".join(map(str, problems[0]["loc"]))
        text = problems[0]["msg"].removeprefix("Value error, ")
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
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
