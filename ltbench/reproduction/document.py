"""Everything that a reproduction says, as one JSON document. The page, the tables and the figures are made from it alone."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ltbench.data.folds import COLUMNS, fold_rule
from ltbench.reproduction.claims import Claim, Controlled, check_claim, check_controls, pairs_of
from ltbench.reproduction.collect import Collected
from ltbench.reproduction.outcomes import Differences, mean_accuracy
from ltbench.reproduction.reported import datasets_of, reported, reported_tables
from ltbench.reproduction.spec import Entry, FigureSpec, Panel, Paper, TableSpec

FORMAT = 1


def document(paper: Paper, collected: Collected) -> dict[str, Any]:
    """The whole answer, as plain values."""
    against = [(entry.row, entry.against) for table in paper.tables for entry in table.entries if entry.against]
    pairs = [*against, *pairs_of(paper.claims, paper.controls)]
    differences = Differences(collected.outcomes, collected.data, pairs)
    rows, data = collected.outcomes, collected.data
    rule = fold_rule(data.rule)
    made: dict[str, Any] = rounded(
        {
            "format": FORMAT,
            "paper": {"source": reported_tables()["source"], "metric": reported_tables()["metric"]},
            "dataset": {
                "name": collected.dataset,
                "fingerprint": collected.fingerprint,
                "backbone": collected.backbone,
                "folds": {"rule": rule.name, "text": rule.text},
                "classes": {fold: len(ids) for fold, ids in rule.members(data.train_counts).items()},
                "test": len(data.labels),
            },
            "seeds": collected.seeds,
            "rows": {name: _row(paper, name, collected) for name in paper.rows},
            "claims": [_claim(check_claim(one, rows, data, differences)) for one in paper.claims],
            "controls": [_controlled(check_controls(one, rows, data, differences)) for one in paper.controls],
            "tables": [_table(table, paper, differences) for table in paper.tables],
            "figures": [_figure(figure, paper, collected) for figure in paper.figures],
            "notes": collected.notes,
        }
    )
    return made


def rounded(value: Any) -> Any:
    """Floats with 4 decimals: percent and points need no more, and the file is committed."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def _row(paper: Paper, name: str, collected: Collected) -> dict[str, Any]:
    spec = paper.rows[name]
    said = {"label": spec.label, "methods": spec.methods, "fuser": spec.fuser, "set": spec.set}
    said |= {"analysis": spec.analysis} if spec.analysis else {}
    if name not in collected.outcomes:
        return {**said, "missing": collected.missing[name]}
    row, data = collected.outcomes[name], collected.data
    return {
        **said,
        "missing": [],
        "seeds": {
            seed: {"accuracy": data.accuracy(row.correct[seed]), "record": row.records.get(seed)} for seed in row.seeds
        },
        "accuracy": {fold: asdict(mean) for fold, mean in mean_accuracy(row, data).items()},
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.spec.id,
        "text": claim.spec.text,
        "verdict": claim.verdict,
        "clear": claim.clear,
        "seeds": claim.seeds,
        "margins": [asdict(margin) for margin in claim.margins],
        "spread": claim.spread,
        "missing": claim.missing,
        "note": claim.spec.note,
    }


def _controlled(found: Controlled) -> dict[str, Any]:
    return {
        "ensemble": found.ensemble,
        "best": found.best,
        "above": found.above if found.best else None,
        "clear": found.clear if found.best else None,
        "differences": {name: asdict(difference) for name, difference in found.differences.items()},
        "seeds": found.seeds,
        "missing": found.missing,
    }


def _table(table: TableSpec, paper: Paper, differences: Differences) -> dict[str, Any]:
    return {
        "names": table.names,
        "title": table.title,
        "reported": datasets_of(table.paper),
        "note": table.note,
        "entries": [_entry(entry, table.paper, paper, differences) for entry in table.entries],
    }


def _entry(entry: Entry, tables: Sequence[str], paper: Paper, differences: Differences) -> dict[str, Any]:
    found = [reported(table, entry.paper) for table in tables] if entry.paper else []
    difference = differences.get(entry.row, entry.against) if entry.against else None
    return {
        "label": entry.label or (paper.rows[entry.row].label if entry.row else entry.paper),
        "row": entry.row or None,
        "reported": [
            {"dataset": one.dataset, "method": entry.paper, "accuracy": one.accuracy, "mark": one.mark} for one in found
        ],
        "against": entry.against or None,
        "difference": asdict(difference["all"]) if difference else None,
    }


def _figure(figure: FigureSpec, paper: Paper, collected: Collected) -> dict[str, Any]:
    said: dict[str, Any] = {"name": figure.name, "kind": figure.kind, "title": figure.title}
    if figure.kind == "class_counts":
        counts = collected.data.train_counts
        folds = fold_rule(collected.data.rule).assign(counts)
        return {**said, "train_counts": counts.tolist(), "folds": folds.tolist()}
    if figure.kind == "bars":
        return {**said, "panels": [_panel(panel, collected) for panel in figure.panels]}
    return {**said, "row": paper.rows[figure.row].label, "seeds": collected.analyses.get(figure.name, {})}


def _panel(panel: Panel, collected: Collected) -> dict[str, Any]:
    measured = {
        label: mean_accuracy(collected.outcomes[row], collected.data)
        for label, row in zip(panel.labels, panel.rows, strict=True)
        if row in collected.outcomes
    }
    return {
        "title": panel.title,
        "labels": list(measured),
        "folds": {
            fold: {
                "mean": [accuracy[fold].mean for accuracy in measured.values()],
                "std": [accuracy[fold].std for accuracy in measured.values()],
            }
            for fold in COLUMNS
            if measured and all(fold in accuracy for accuracy in measured.values())
        },
        "missing": [label for label, row in zip(panel.labels, panel.rows, strict=True) if label not in measured],
    }
