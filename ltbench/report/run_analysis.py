"""What ``ltbench analyze`` says of a run's logits: oracle, expert confusion, confidence, leave-one-out, class counts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ltbench.analysis.confidence import confidence_histograms
from ltbench.analysis.expert_confusion import expert_confusion
from ltbench.analysis.leave_one_out import leave_one_out
from ltbench.analysis.oracle import oracle
from ltbench.analysis.subsets import experts_by_method, head_and_tail
from ltbench.common.files import write_json
from ltbench.data.folds import COLUMNS, fold_rule
from ltbench.errors import DataError
from ltbench.fuser import Fuser
from ltbench.registry.manager import plugin_code
from ltbench.report.figure_data import (
    write_bars,
    write_class_counts,
    write_confidence,
    write_csv,
    write_expert_confusion,
)
from ltbench.results.logits import LogitsFolder
from ltbench.statistics.metrics import fold_accuracy


def analyze(content: LogitsFolder, make_fuser: Callable[[], Fuser] | None, rule: str) -> dict[str, Any]:
    """Everything that can be said of these logits, as plain values.

    Args:
        make_fuser: a new fuser, unfitted; fitted on the validation split. None: nothing is fused.
        rule: name of the fold rule.
    """
    methods = list(dict.fromkeys(member.method for member in content.test.members))
    answer: dict[str, Any] = {
        "folds": rule,
        "class_counts": {
            "train_counts": content.train_counts.tolist(),
            "folds": fold_rule(rule).assign(content.train_counts).tolist(),
        },
        "experts": {
            method: _experts(content, method, make_fuser, rule) for method in experts_by_method(content.test.members)
        },
    }
    if make_fuser is not None and len(methods) > 1:
        val, test = content.val, content.test
        answer["leave_one_out"] = leave_one_out(
            make_fuser, val.members, val.labels, test.members, test.labels, content.train_counts, rule
        ).to_dict()
    return answer


def _experts(content: LogitsFolder, method: str, make_fuser: Callable[[], Fuser] | None, rule: str) -> dict[str, Any]:
    """The analyses of one method's experts; one that is not possible says why in ``skipped``."""
    test, labels, counts = experts_by_method(content.test.members)[method], content.test.labels, content.train_counts

    def of_oracle() -> dict[str, Any]:
        found = oracle(test, labels)
        accuracy = fold_accuracy(found.predictions, labels, counts, rule)
        return {"accuracy": accuracy, "chooses_among": found.chooses_among}

    def of_confusion() -> dict[str, Any]:
        if make_fuser is None:
            raise DataError("the run has no fuser: choose one with --fuser.")
        fuser = make_fuser()
        with plugin_code("fuser", type(fuser), "fit or log_posterior"):
            fuser.fit(experts_by_method(content.val.members)[method], content.val.labels)
            predictions = fuser.log_posterior(test).argmax(dim=1)
        return expert_confusion(predictions, labels, test, counts, rule).to_dict()

    def of_confidence() -> dict[str, Any]:
        return confidence_histograms(*head_and_tail(test, counts), labels).to_dict()

    answer: dict[str, Any] = {"skipped": {}}
    for name, analyse in (("oracle", of_oracle), ("expert_confusion", of_confusion), ("confidence", of_confidence)):
        try:
            answer[name] = analyse()
        except DataError as error:
            answer["skipped"][name] = str(error)
    return answer


def write(answer: Mapping[str, Any], folder: Path) -> list[Path]:
    """``analysis.json``, and each analysis as PNG, PDF, JSON and CSV. Raises DataError when they cannot be written."""
    write_json(folder / "analysis.json", dict(answer))
    written = [folder / "analysis.json", *write_class_counts(folder / "class_counts", **answer["class_counts"])]
    several = len(answer["experts"]) > 1
    for method, found in answer["experts"].items():
        prefix = f"{method.replace(':', '.')}_" if several else ""
        if "oracle" in found:
            accuracy = found["oracle"]["accuracy"]
            written.append(write_csv(folder / f"{prefix}oracle.csv", [list(accuracy), list(accuracy.values())]))
        if "expert_confusion" in found:
            written += write_expert_confusion(folder / f"{prefix}expert_confusion", found["expert_confusion"])
        if "confidence" in found:
            written += write_confidence(folder / f"{prefix}confidence", found["confidence"])
    if "leave_one_out" in answer:
        written += write_bars(folder / "leave_one_out", _panels(answer["leave_one_out"]))
    return written


def _panels(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups = {
        "Methods alone": found["alone"],
        "Leave-one-out ensembles": {
            "all": found["everything"],
            **{f"without {name}": accuracy for name, accuracy in found["without"].items()},
        },
    }
    return [
        {
            "title": title,
            "labels": list(rows),
            "folds": {
                fold: {"mean": [one[fold] for one in rows.values()], "std": [None] * len(rows)}
                for fold in COLUMNS
                if all(fold in one for one in rows.values())
            },
        }
        for title, rows in groups.items()
    ]
