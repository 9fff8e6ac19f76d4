"""``LEADERBOARD.md``: what a reader finds on the page."""

import numpy as np
from results.records import baseline, environment, record, track

from ltbench.report.leaderboard import boards
from ltbench.report.markdown import page
from ltbench.results.reported import Reported

RECORDS = [
    *(baseline(seed=seed, accuracy=share) for seed, share in enumerate([0.35, 0.45])),
    *(record(seed=seed, accuracy=0.6, environment=environment(git_dirty=True)) for seed in (0, 1)),
    record("baseline", "joint", role="control", accuracy=0.5),
    record("uniform", "none", accuracy=[0.9, 0.9, 0.5, 0.5, 0.2, 0.1], track=track(epochs=90)),
]


SIZES = {"paper": {"many": 10, "medium": 10, "few": 10}, "oltr": {"many": 10, "medium": 5, "few": 15}}


def published(method: str, all_classes: float, **changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "method": method,
        "accuracy": {"many": 40.0, "medium": 30.0, "few": 20.0, "all": all_classes},
        "fold_rule": "paper",
        "backbone": "ResNet-10",
        "reference": "A paper, Table 1",
    }
    return values | changes


def reported(*rows: dict[str, object]) -> list[Reported]:
    return [Reported.model_validate({"dataset": "toy-lt", "fold_sizes": SIZES, "rows": rows})]


def toy_page(*rows: dict[str, object]) -> str:
    return page("toy-lt", boards(RECORDS), reported(*rows) if rows else [], "results")


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


def test_what_papers_report_stands_below_what_was_measured_and_is_not_ranked() -> None:
    text = toy_page(published("Theirs", 30.0, verified="from the table", epochs="90"), published("A | B", 30.05))
    ranked, below = text.split("## Reported (not ranked)")
    assert "Theirs" not in ranked
    assert "not ranked, neither with measured rows" in below
    row = "| Theirs | 90 | 40.0 | 30.0 | 20.0 | 30.0 | paper | A paper, Table 1 | from the table |  |"
    assert row in below
    assert "| A \\| B | – |" in below
    assert "`paper`: >= 100, 20 to 99, < 20 (Sharma et al. 2020, Table 1); 10 / 10 / 10 classes" in below
    assert "`oltr`" in below
    assert "`kang`" not in below


def test_a_reported_row_that_contradicts_itself_is_marked_with_how_far_it_is_off() -> None:
    text = toy_page(published("Wrong", 35.0, epochs="90"), published("Right", 30.0))
    (wrong,) = lines_with(text, "| Wrong |")
    assert wrong.endswith("| ‡1 |")
    (right,) = lines_with(text, "| Right |")
    assert right.endswith("|  |")
    notes = lines_with(text, "- ‡1 Wrong (90 epochs): All is 35.0, its folds imply ")
    assert notes[0].endswith("30.00 under paper (+5.00), 28.33 under oltr (+6.67).")


def test_a_page_without_records_says_so_and_how_to_make_some() -> None:
    text = page("toy-lt", [], reported(published("Theirs", 30.0)), "results")
    measured, below = text.split("## Reported (not ranked)")
    assert "| Theirs |" in below
    assert "## Nothing measured yet" in measured
    assert "There is no record of toy-lt in `results/toy-lt`" in measured
    for command in (
        "data fetch toy-lt",
        "data check toy-lt --data-root DIR",
        "data pack toy-lt --data-root DIR",
        "run --dataset toy-lt --data-root DIR --method all --fuser joint --seeds 0,1,2 --results results",
        "run --dataset toy-lt --data-root DIR --method experts --fuser kl --fuser soft",
        "reproduce all --dataset toy-lt --data-root DIR",
        "leaderboard --results results --dataset toy-lt --write",
    ):
        assert lines_with(measured, f"    ltbench {command}")
    for record_only in ("## Legend", "ltbench verify", "bootstrap"):
        assert record_only not in text
    assert "official downloads" not in text
    assert "Nothing measured yet" not in toy_page(published("Theirs", 30.0))


def test_a_page_without_records_names_the_official_downloads_of_a_shipped_benchmark() -> None:
    text = page("imagenet-lt", [], [], "results")
    assert text.count("ILSVRC2012_img_train.tar") == text.count("ILSVRC2012_img_val.tar") == 1
    assert text.index("ILSVRC2012_img_val.tar") < text.index("ltbench data fetch imagenet-lt")


def test_same_records_same_bytes() -> None:
    rows = [published("Theirs", 30.0), published("Wrong", 35.0), published("Other", 30.0), published("Odd", 36.0)]
    expected = toy_page(*rows)
    random = np.random.default_rng(0)
    for _ in range(3):
        shuffled = [RECORDS[index] for index in random.permutation(len(RECORDS))]
        assert page("toy-lt", boards(shuffled), reported(*rows[::-1]), "results") == expected
