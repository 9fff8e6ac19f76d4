"""Which of many records are the rows of the zoo: those that the recipes give, or what comes closest to them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ltbench.common.canonical import canonical_json
from ltbench.errors import LtbenchError
from ltbench.report.leaderboard import newest, rows_of
from ltbench.reproduction.jobs import missing_plugins
from ltbench.reproduction.spec import Paper, RowSpec
from ltbench.results.record import Record, row_config
from ltbench.settings.recipe_files import dependency_order
from ltbench.settings.recipes import resolve

Rows = dict[str, list[Record]]
"""Row id -> its records, one a seed."""

SECTIONS = ("settings", "augment", "mixing", "backbone")
"""Of a row's settings; what makes another dataset or machine is no difference here."""


def boards_of(spec: Paper, records: Iterable[Record]) -> list[Rows]:
    """The rows that were measured, for each set of data, fold rule, network and weights it starts from.

    Rows that stand in tracks of their own on the leaderboard, for other augmentation say, are beside each other here.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in newest(records):
        groups[_beside(record)].append(record)
    found = [_chosen(spec, group) for _, group in sorted(groups.items())]
    return [rows for rows in found if spec.reference in rows and len(rows) > 1]


def differing(config: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> value, of settings that both have and that differ."""
    return {
        key: text
        for section in SECTIONS
        for key, text in _differing(config.get(section), expected.get(section), section)
    }


def _differing(value: Any, expected: Any, key: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        both = [name for name in value if name in expected]
        return [
            (deeper, text)
            for name in both
            for deeper, text in _differing(value[name], expected[name], f"{key}.{name}".removeprefix("settings."))
        ]
    return [] if value == expected else [(key, str(value))]


def _beside(record: Record) -> str:
    track, data = record.track, record.dataset
    same = (track.pretraining, track.backbone, track.resolution, track.storage, track.precision, track.transductive)
    return canonical_json([data.name, data.fingerprint, record.fold_rule, *same])


def recipe_of(row: RowSpec, dataset: str) -> dict[str, Any] | None:
    """The settings that the recipes give the row; None where they cannot be had here: a plugin or the data is missing."""
    if missing_plugins(row):
        return None
    fusers = [] if row.fuser == "none" else [row.fuser]
    try:
        config = resolve(methods=row.methods, fusers=fusers, dataset=dataset, overrides=row.set).config
    except LtbenchError:
        return None
    return row_config(config.model_dump(mode="json"), row.methods, dependency_order(row.methods), row.fuser)


def _chosen(spec: Paper, records: Sequence[Record]) -> Rows:
    dataset = records[0].dataset.name
    recipes = {name: recipe for name, row in spec.rows.items() if (recipe := recipe_of(row, dataset)) is not None}
    candidates: dict[str, list[tuple[int, list[Record]]]] = defaultdict(list)
    for (methods, fuser, _), group in rows_of(records).items():
        own = [name for name in recipes if (spec.rows[name].methods, spec.rows[name].fuser) == (methods, fuser)]
        if own:
            off = _counting(group[0].config, recipes)
            nearest = min(own, key=off)
            candidates[nearest].append((off(nearest), group))
    best = {name: min(found, key=_closest)[1] for name, found in candidates.items()}
    return {name: best[name] for name in spec.rows if name in best}


def _counting(config: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> Callable[[str], int]:
    return lambda name: len(differing(config, recipes[name]))


def _closest(candidate: tuple[int, list[Record]]) -> tuple[int, int, str]:
    off, group = candidate
    return off, -len(group), group[0].config_hash
