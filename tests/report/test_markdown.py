"""``LEADERBOARD.md``: what a reader finds on the page."""

import numpy as np
from results.records import baseline, environment, record, track

from ltbench.report.leaderboard import boards
from ltbench.report.markdown import page
from ltbench.results.reported import ReportedRow

RECORDS = [
    *(baseline(seed=seed, accuracy=share) for seed, share in enumerate([0.35, 0.45])),
    *(record(seed=seed, accuracy=0.6, environment=environment(git_dirty=True)) for seed in (0, 1)),
    record("baseline", "joint", role="control", accuracy=0.5),
    record("uniform", "none", accuracy=[0.9, 0.9, 0.5, 0.5, 0.2, 0.1], track=track(epochs=90)),
]


def published(method: str, all_classes: float, **changes: object) -> ReportedRow:
    values: dict[str, object] = {
        "dataset": "toy-lt",
        "method": method,
        "accuracy": {"many": 40.0, "medium": 30.0, "few": 20.0, "all": all_classes},
        "fold_sizes": {"many": 10, "medium": 10, "few": 10},
        "reference": "A paper, Table 1",
    }
    return ReportedRow.model_validate(values | changes)


def toy_page(reported: list[ReportedRow] | None = None) -> str:
    return page("toy-lt", boards(RECORDS), reported or [], "results")


def lines_with(text: str, *parts: str) -> list[str]:
    return [line for line in text.splitlines() if all(part in line for part in parts)]


def test_rows_in_order_with_their_numbers() -> None:
    text = toy_page()
    (experts,) = lines_with(text, "| experts | joint |")
    cells = [cell.strip() for cell in experts.strip("|").split("|")]
    assert cells[:10] == [
        "1",
        "experts",
        "joint",
        "",
        "2",
        "60.0 ± 0.0",
        "60.0 ± 0.0",
        "60.0 ± 0.0",
        "60.0 ± 0.0",
        "3.2 ± 0.0",
    ]
    assert cells[10].startswith("+20.0 [+")
    assert cells[11] == "< 0.001"
    assert cells[12] == f"{RECORDS[2].config_hash[:8]}†"
    (reference,) = lines_with(text, "| reference |")
    assert "| 40.0 ± 7.1 |" in reference
    assert reference.endswith(f"| – | – | {RECORDS[0].config_hash[:8]} |")
    (control,) = lines_with(text, "| control |")
    assert "| 1 | 50.0 | 50.0 | 50.0 | 50.0 |" in control
    assert text.index(experts) < text.index(control) < text.index(reference)


def test_page_says_how_it_was_made_under_which_protocol_and_how_to_recompute_it() -> None:
    text = toy_page()
    assert "`ltbench leaderboard --results results --dataset toy-lt --write`" in text
    protocols = lines_with(text, "Protocol: toy-lt, fingerprint ")
    assert len(protocols) == 2
    fingerprint = RECORDS[0].dataset.fingerprint[:12]
    for part in (fingerprint, "120 test samples", "'paper': >= 100", "2 / 2 / 2 classes", "selected on val (accuracy)"):
        assert part in protocols[0]
    assert "ltbench verify results/toy-lt" in text
    assert "--check" in text
    assert "10,000 resamples" in text
    assert "Holm" in text


def test_each_track_has_a_table_and_only_one_with_a_reference_has_differences() -> None:
    text = toy_page()
    with_reference, without = text.split("## resnet10, from scratch, 90 epochs")
    assert "## resnet10, from scratch, 10 epochs, augmentation shift=2, 28 px" in with_reference
    assert "Δ to **baseline**" in with_reference
    assert "no reference to compare with" in without
    assert "uniform" not in with_reference
    assert lines_with(without, "| # |") == [
        "| # | Methods | Fuser | Role | n | Many | Medium | Few | All | ECE | Config |"
    ]


def test_what_papers_report_stands_apart_and_is_not_ranked() -> None:
    text = toy_page([published("Theirs", 30.0, verified="from the table"), published("A | B", 30.05)])
    ranked, reported = text.split("## Reported (not ranked)")
    assert "Theirs" not in ranked
    assert "| Theirs |  |  |  | 40.0 | 30.0 | 20.0 | 30.0 | A paper, Table 1 | from the table |" in reported
    assert "| A \\| B |" in reported


def test_a_reported_row_that_contradicts_itself_is_refused_with_the_reason() -> None:
    text = toy_page([published("Wrong", 35.0)])
    assert "| Wrong |" not in text
    assert lines_with(text, "Refused: Wrong (A paper, Table 1). All is 35.00 but the folds imply 30.00")


def test_same_records_same_bytes() -> None:
    reported = [published("Theirs", 30.0), published("Wrong", 35.0), published("Other", 30.0)]
    expected = toy_page(reported)
    random = np.random.default_rng(0)
    for _ in range(3):
        shuffled = [RECORDS[index] for index in random.permutation(len(RECORDS))]
        assert page("toy-lt", boards(shuffled), reported[::-1], "results") == expected
