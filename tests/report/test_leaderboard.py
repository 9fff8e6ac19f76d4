"""The leaderboard is a pure function of records: who is ranked with whom, how, and compared with what."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations

import numpy as np
import pytest
from results.records import LABELS, baseline, environment, outcomes, record, track

from ltbench.errors import DataError, UsageError
from ltbench.report.leaderboard import Board, Row, boards
from ltbench.results.record import Record
from ltbench.results.schema import DatasetInfo, Selection
from ltbench.statistics.bootstrap import holm, stratified_bootstrap


def only_board(records: Sequence[Record], folds: str | None = None) -> Board:
    (board,) = boards(records, folds)
    return board


def row(board: Board, methods: str, fuser: str = "joint") -> Row:
    (found,) = [row for row in board.rows if "+".join(row.methods) == methods and row.fuser == fuser]
    return found


def test_rows_are_ranked_by_all_with_mean_and_deviation_over_seeds() -> None:
    records = [record(seed=seed, accuracy=share) for seed, share in enumerate([0.5, 0.6, 0.7])]
    records += [record("uniform", "none", accuracy=0.65), baseline(accuracy=0.4)]
    board = only_board(records)
    assert [" ".join(row.methods) for row in board.rows] == ["uniform", "experts", "baseline"]
    experts = row(board, "experts")
    assert experts.seeds == (0, 1, 2)
    assert experts.accuracy["all"].mean == pytest.approx(60)
    assert experts.accuracy["all"].std == pytest.approx(10)
    assert row(board, "uniform", "none").accuracy["all"].std is None


def test_folds_follow_the_rule_that_is_asked_for() -> None:
    """Classes have 300, 120, 60, 30, 8, 5 images; a rule only moves classes between the folds."""
    shares = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    accuracy = only_board([record(accuracy=shares)], "kang").rows[0].accuracy
    assert {fold: value.mean for fold, value in accuracy.items()} == pytest.approx(
        {"many": 90, "medium": 50, "few": 10, "all": 50}
    )
    with pytest.raises(UsageError, match="unknown fold rule"):
        boards([record()], "nobody")


@pytest.mark.parametrize(
    "other",
    [
        {"track": track(backbone="resnet50")},
        {"track": track(pretraining="timm")},
        {"track": track(epochs=90)},
        {"track": track(augmentation="randaugment")},
        {"track": track(resolution=32)},
        {"selection": Selection(split="test")},
        {"selection": Selection(split="val", criterion="loss")},
        {"fold_rule": "kang"},
        {"data_seed": 1},
        {"data": "other-lt"},
    ],
)
def test_another_protocol_is_never_ranked_together(other: dict[str, object]) -> None:
    ours, theirs = record(accuracy=0.5), record("uniform", "none", accuracy=0.9, **other)
    found = boards([ours, theirs, baseline()])
    assert len(found) == 2
    by_methods = {frozenset("+".join(row.methods) for row in board.rows) for board in found}
    assert by_methods == {frozenset({"experts", "baseline"}), frozenset({"uniform"})}


def test_one_fold_rule_for_all_brings_runs_under_different_rules_together() -> None:
    assert len(boards([record(), record("uniform", fold_rule="kang")], "oltr")) == 1


def test_difference_to_the_reference_with_holm_corrected_p() -> None:
    base = [baseline(seed=seed) for seed in (0, 1)]
    rows = {
        "experts": [record("experts", seed=seed, accuracy=0.5) for seed in (0, 1)],
        "uniform": [record("uniform", seed=seed, accuracy=0.44) for seed in (0, 1)],
    }
    board = only_board([*base, *rows["experts"], *rows["uniform"]])
    assert board.baseline is not None
    assert board.baseline.methods == ("baseline",)
    assert row(board, "baseline", "none").delta is None
    groups = {"all": np.arange(6)}
    stacked = {name: np.stack([one.correct() for one in records]) for name, records in (rows | {"base": base}).items()}
    expected = [stratified_bootstrap(stacked[name], stacked["base"], base[0].labels(), groups)["all"] for name in rows]
    corrected = holm([one.p for one in expected])
    for name, alone, p in zip(rows, expected, corrected, strict=True):
        delta = row(board, name).delta
        assert delta is not None
        assert (delta.estimate, delta.low, delta.high) == (alone.estimate, alone.low, alone.high)
        assert delta.p == pytest.approx(p)
        assert delta.p >= alone.p
    assert row(board, "experts").delta.estimate == pytest.approx(10)


def test_difference_is_over_the_seeds_that_both_have() -> None:
    records = [baseline(seed=0, accuracy=0.4), baseline(seed=1, accuracy=0.6)]
    records += [record(seed=1, accuracy=0.7), record(seed=2, accuracy=1.0), record("uniform", seed=5, accuracy=0.5)]
    board = only_board(records)
    assert row(board, "experts").delta.estimate == pytest.approx(10)
    assert row(board, "uniform").delta is None


def test_without_a_reference_there_is_nothing_to_compare_with() -> None:
    board = only_board([record(), record("baseline", "joint", role="control"), record("baseline", "none", role="run")])
    assert board.baseline is None
    assert all(row.delta is None for row in board.rows)


def test_the_reference_is_the_one_that_most_rows_start_from_whatever_its_name() -> None:
    records = [
        record("root", "none", role="reference", accuracy=0.4, starts_from="root"),
        record("branch", "none", role="reference", accuracy=0.5, starts_from="root"),
        record("leaf", accuracy=0.6, starts_from="root"),
        record("twig", accuracy=0.7, starts_from="branch"),
    ]
    for order in permutations(records):
        assert only_board(order).baseline.methods == ("root",)


def test_controls_are_ranked_and_marked() -> None:
    board = only_board([baseline(), record("baseline", "joint", role="control", accuracy=0.9), record(accuracy=0.5)])
    assert [(row.methods, row.role) for row in board.rows] == [
        (("baseline",), "control"),
        (("experts",), "run"),
        (("baseline",), "reference"),
    ]


def test_a_reference_stays_one_when_another_run_asked_for_it() -> None:
    board = only_board([baseline(seed=0), record("baseline", "none", role="run", seed=1, accuracy=0.5)])
    assert [(row.role, row.seeds) for row in board.rows] == [("reference", (0, 1))]


def test_settings_that_differ_tell_rows_apart() -> None:
    shared = {"baseline": {"optim": {"lr": 0.2}}}
    records = [
        record(settings=shared | {"experts": {"ood": "reject_class", "rho": 16}}),
        record(settings=shared | {"experts": {"ood": "outlier_exposure", "rho": 16}}),
        record("uniform", settings=shared),
    ]
    board = only_board(records)
    assert sorted(row.label for row in board.rows) == ["", "ood=outlier_exposure", "ood=reject_class"]
    assert len({row.config for row in board.rows}) == 3


def test_equal_last_keys_are_told_apart_by_their_sections() -> None:
    records = [
        record("a+b", settings={"a": {"lr": 1}, "b": {"lr": 1}}),
        record("a+b", settings={"a": {"lr": 2}, "b": {"lr": 1}}),
        record("a+b", settings={"a": {"lr": 1}, "b": {"lr": 3, "extra": True}}),
    ]
    assert {row.label for row in only_board(records).rows} == {
        "a.lr=1, extra=unset, b.lr=1",
        "a.lr=2, extra=unset, b.lr=1",
        "a.lr=1, extra=true, b.lr=3",
    }


def test_seeds_of_one_config_are_one_row_without_a_label() -> None:
    board = only_board([record(seed=0), record(seed=7)])
    assert [(row.seeds, row.label) for row in board.rows] == [((0, 7), "")]


def test_of_two_records_with_one_name_the_newer_counts() -> None:
    old = record(accuracy=0.9).model_copy(update={"created": datetime(2024, 1, 1, tzinfo=UTC)})
    new = record(accuracy=0.3).model_copy(update={"created": datetime(2025, 1, 1, tzinfo=UTC)})
    for records in ([old, new], [new, old]):
        (found,) = only_board(records).rows
        assert (found.seeds, found.accuracy["all"].mean) == ((0,), pytest.approx(30))


def test_same_records_in_any_order_give_the_same_boards() -> None:
    records = [
        baseline(),
        record(),
        record(seed=1),
        record("uniform", "none"),
        record("uniform", track=track(epochs=3)),
    ]
    expected = boards(records)
    random = np.random.default_rng(0)
    for _ in range(5):
        assert boards([records[index] for index in random.permutation(len(records))]) == expected


def test_records_that_claim_the_same_data_must_have_its_counts() -> None:
    made = record()
    counts = (299, 121, *made.dataset.train_counts[2:])
    other = DatasetInfo.model_validate(made.dataset.model_dump() | {"train_counts": counts})
    with pytest.raises(DataError, match="claim the same data but their class counts differ"):
        boards([made, record("uniform", dataset=other)])


def test_sources_that_differ_from_their_commit_are_marked() -> None:
    board = only_board([record(environment=environment(git_dirty=True)), record("uniform")])
    assert (row(board, "experts").dirty, row(board, "uniform").dirty) == (True, False)


def test_accuracy_is_that_of_the_test_samples() -> None:
    correct = outcomes([0.9, 0.7, 0.5, 0.3, 0.1, 0.1])
    found = only_board([record(correct=correct)]).rows[0].accuracy
    assert found["many"].mean == pytest.approx(100 * correct[LABELS < 2].mean())
    assert found["few"].mean == pytest.approx(100 * correct[LABELS > 3].mean())
