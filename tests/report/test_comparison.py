"""Two rows side by side."""

import numpy as np
import pytest
from results.records import baseline, record, track

from ltbench.errors import DataError, UsageError
from ltbench.report.comparison import compare_rows


def test_two_rows_over_the_seeds_that_both_have() -> None:
    a = [record(seed=seed, accuracy=0.6) for seed in (0, 1, 2)]
    b = [baseline(seed=seed, accuracy=share) for seed, share in [(1, 0.4), (2, 0.5), (3, 1.0)]]
    found = compare_rows(a, b)
    assert found.seeds == (1, 2)
    assert found.accuracy_a["all"] == pytest.approx(60)
    assert found.accuracy_b["all"] == pytest.approx(45)
    assert found.differences["all"].estimate == pytest.approx(15)
    assert set(found.differences) == {"many", "medium", "few", "all"}
    assert found.notes == ()


def test_mcnemar_counts_the_samples_that_one_alone_gets_right() -> None:
    right_a, right_b = np.arange(120) < 60, (np.arange(120) < 50) | (np.arange(120) >= 117)
    test = compare_rows([record(correct=right_a)], [record("uniform", correct=right_b)]).mcnemar[0]
    assert (test.only_a, test.only_b) == (10, 3)


def test_single_records_of_different_seeds_are_compared_with_a_note() -> None:
    found = compare_rows([record(seed=0, accuracy=0.6)], [record("uniform", seed=4, accuracy=0.5)])
    assert found.differences["all"].estimate == pytest.approx(10)
    assert "seed differs: 0 in A, 4 in B" in found.notes


def test_a_difference_of_protocol_is_said() -> None:
    found = compare_rows([record()], [record("uniform", track=track(epochs=90))])
    assert found.notes == ("epochs differs: 10 in A, 90 in B",)


def test_rows_without_a_common_seed() -> None:
    with pytest.raises(UsageError, match="share no seed"):
        compare_rows([record(seed=0), record(seed=1)], [baseline(seed=2)])


def test_rows_of_different_data() -> None:
    with pytest.raises(DataError, match="different data"):
        compare_rows([record()], [record(data_seed=1)])
