"""Records by the names people use: a file, a record's name, or a row ``METHODS[/FUSER[/CONFIG]]``."""

from collections.abc import Sequence
from pathlib import Path

from ltbench.errors import UsageError, did_you_mean
from ltbench.results.record import Record
from ltbench.results.store import read_sound


def choose(wanted: str, records: Sequence[Record]) -> list[Record]:
    """The records that ``wanted`` names: one, or one row's over its seeds (ascending).

    ``experts/joint`` is the row of that method and fuser, ``baseline`` the one without a fuser; the first digits of the
    config hash tell rows of different settings apart: ``experts/joint/1a2b3c4d``.

    Raises:
        UsageError: nothing has that name, or several rows do.
        DataError: it is a file but no record, or one that contradicts itself.
    """
    if Path(wanted).is_file():
        return [read_sound(Path(wanted))]
    named = [record for record in records if record.name == wanted.removesuffix(".json")]
    methods, fuser, config = [*wanted.split("/"), "", ""][:3]
    rows: dict[str, list[Record]] = {}
    for record in named or records:
        fits = ("+".join(record.methods), record.fuser) == (methods, fuser or "none") and record.config_hash.startswith(
            config
        )
        if named or fits:
            rows.setdefault(f"{row_name(record)} on {record.dataset.name}", []).append(record)
    if not rows:
        known = sorted({row_name(record) for record in records})
        hint = did_you_mean(wanted, known)
        raise UsageError(f"no record or row is called '{wanted}'.{hint} Known rows: {', '.join(known) or 'none'}.")
    if len(rows) > 1:
        raise UsageError(f"'{wanted}' may be {' or '.join(sorted(rows))}: add the config, or choose with --dataset.")
    return sorted(next(iter(rows.values())), key=lambda record: record.seed)


def row_name(record: Record) -> str:
    """``experts/joint/1a2b3c4d``: what :func:`choose` takes for the record's row."""
    return f"{'+'.join(record.methods)}/{record.fuser}/{record.config_hash[:8]}"
