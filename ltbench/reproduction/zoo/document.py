"""Everything that is said of the zoo, as plain values: pages, tables and figures are made from it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ltbench.data.folds import fold_rule
from ltbench.report.comparison import check_same_data
from ltbench.reproduction.document import rounded
from ltbench.reproduction.jobs import missing_plugins
from ltbench.reproduction.outcomes import Data, Differences, mean_accuracy, of_records
from ltbench.reproduction.spec import Paper, RowSpec
from ltbench.reproduction.zoo.costs import cost_of, wall_seconds
from ltbench.reproduction.zoo.rows import Rows, differing, recipe_of
from ltbench.results.record import Record

FORMAT = 1


def document(spec: Paper, boards: Sequence[Rows]) -> dict[str, Any]:
    """``boards``: the rows that were measured beside each other, the reference among them."""
    made: dict[str, Any] = rounded(
        {
            "format": FORMAT,
            "reference": spec.reference,
            "control": spec.control,
            "apart": spec.apart,
            "rows": {name: _asked(row) for name, row in spec.rows.items()},
            "boards": [_board(spec, rows) for rows in boards],
        }
    )
    return made


def _asked(row: RowSpec) -> dict[str, Any]:
    return {**row.model_dump(mode="json", exclude={"analysis"}), "missing": missing_plugins(row)}


def _board(spec: Paper, measured: Rows) -> dict[str, Any]:
    rows = {name: measured[name] for name in spec.rows if name in measured}
    first = rows[spec.reference][0]
    info = check_same_data([record for records in rows.values() for record in records])
    data = Data(np.array(info.train_counts), first.labels(), first.fold_rule)
    outcomes = {name: of_records(records) for name, records in rows.items()}
    pairs = [(name, other) for name in rows for other in (spec.reference, spec.control) if other != name]
    differences = Differences(outcomes, data, pairs)
    rule, usual = fold_rule(first.fold_rule), _changed(spec, spec.reference, first)
    return {
        "dataset": info.name,
        "fingerprint": info.fingerprint,
        "backbone": first.track.backbone,
        "pretraining": first.track.pretraining,
        "folds": {"rule": rule.name, "text": rule.text},
        "classes": {fold: len(ids) for fold, ids in rule.members(data.train_counts).items()},
        "test": info.test,
        "rows": {
            name: {
                "seeds": outcomes[name].records,
                "accuracy": {fold: asdict(mean) for fold, mean in mean_accuracy(outcomes[name], data).items()},
                "to_reference": _difference(differences, name, spec.reference),
                "to_control": _difference(differences, name, spec.control),
                "cost": asdict(cost) if (cost := cost_of(records)) else None,
                "wall_seconds": wall_seconds(records),
                "otherwise": _beyond(spec, name, records[0], first, usual),
            }
            for name, records in rows.items()
        },
    }


def _difference(differences: Differences, name: str, other: str) -> dict[str, Any] | None:
    found = differences.get(name, other)
    return None if found is None else {fold: asdict(one) for fold, one in found.items()}


def _beyond(spec: Paper, name: str, record: Record, reference: Record, usual: Mapping[str, str]) -> list[str]:
    """In what its track differs from the reference's, and its settings from the recipes where the reference's do not."""
    track, other = record.track.model_dump(), reference.track.model_dump()
    tracks = [f"{key}: {value}" for key, value in track.items() if value != other[key]]
    changed = _changed(spec, name, record)
    return tracks + [f"{key}={value}" for key, value in changed.items() if usual.get(key) != value]


def _changed(spec: Paper, name: str, record: Record) -> dict[str, str]:
    recipe = recipe_of(spec.rows[name], record.dataset.name)
    return {} if recipe is None else differing(record.config, recipe)
