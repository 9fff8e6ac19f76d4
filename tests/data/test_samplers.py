from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from ltbench.data.samplers import (
    ClassAwareSampler,
    ClassBalancedSampler,
    EpochSampler,
    InstanceSampler,
    MixedBatchSampler,
    RejectSampler,
    SubsetSampler,
)
from ltbench.errors import UsageError

seeds = st.integers(0, 2**31)
labels_of_any_kind = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(torch.tensor)


def epoch(sampler: EpochSampler, seed: int = 0) -> list[int]:
    order = sampler.indices(0, Generator().manual_seed(seed))
    assert order.dtype == torch.int64
    assert order.shape == (len(sampler),)
    return order.tolist()


def no_repeat_before_exhaustion(drawn: list[int], size: int) -> bool:
    """Every consecutive pass of ``size`` draws holds distinct values."""
    passes = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    return all(len(set(one)) == len(one) for one in passes)


def every_sampler() -> list[EpochSampler]:
    labels = torch.tensor([0] * 30 + [2] * 9 + [5] * 2)
    inside, outside = torch.arange(10), torch.arange(10, 41)
    return [
        InstanceSampler(41),
        SubsetSampler(inside),
        ClassBalancedSampler(labels),
        ClassAwareSampler(labels, 8),
        RejectSampler(inside, outside, 5, redraw=True),
        RejectSampler(inside, outside, 5, generator=Generator().manual_seed(9)),
        MixedBatchSampler(inside, outside, 8),
    ]


@pytest.mark.parametrize("sampler", every_sampler(), ids=lambda sampler: type(sampler).__name__)
def test_an_order_depends_on_the_generator_alone(sampler: EpochSampler) -> None:
    torch.manual_seed(1)
    first = epoch(sampler, seed=3)
    torch.manual_seed(2)
    assert epoch(sampler, seed=3) == first
    assert epoch(sampler, seed=4) != first


@given(st.integers(1, 50), seeds)
def test_instance_sampling_holds_every_sample_once(count: int, seed: int) -> None:
    assert sorted(epoch(InstanceSampler(count), seed)) == list(range(count))


@given(st.sets(st.integers(0, 1000), min_size=1, max_size=50), seeds)
def test_a_subset_holds_every_position_once(positions: set[int], seed: int) -> None:
    assert sorted(epoch(SubsetSampler(torch.tensor(list(positions))), seed)) == sorted(positions)


def test_no_sample_to_draw_from_is_an_error() -> None:
    for make in (SubsetSampler, ClassBalancedSampler, lambda empty: ClassAwareSampler(empty, 8)):
        with pytest.raises(UsageError, match="no sample"):
            make(torch.tensor([], dtype=torch.int64))


def test_class_balanced_draws_are_uniform_over_the_classes_present() -> None:
    labels = torch.tensor([0] * 90 + [3] * 9 + [7])
    drawn = Counter(labels[torch.tensor(epoch(ClassBalancedSampler(labels, length=30_000)))].tolist())
    assert set(drawn) == {0, 3, 7}
    for count in drawn.values():
        assert abs(count - 10_000) < 5 * (30_000 * 2 / 9) ** 0.5  # five standard deviations of a binomial count


@given(labels_of_any_kind, st.integers(1, 300), seeds)
def test_class_balanced_draws_pass_through_a_class_before_repeating(labels: Tensor, length: int, seed: int) -> None:
    drawn = epoch(ClassBalancedSampler(labels, length), seed)
    for label in labels.unique().tolist():
        own = [position for position in drawn if labels[position] == label]
        assert no_repeat_before_exhaustion(own, int((labels == label).sum()))


def test_class_balanced_epochs_are_as_long_as_the_training_set_by_default() -> None:
    assert len(ClassBalancedSampler(torch.tensor([0, 0, 0, 1]))) == 4
    assert len(ClassAwareSampler(torch.tensor([0, 0, 0, 1]), 4)) == 4


def test_the_order_within_a_class_is_a_fair_permutation() -> None:
    """The first draw of a class of three falls on each of its samples equally often."""
    labels = torch.tensor([0, 1, 0, 1, 0])
    sampler = ClassBalancedSampler(labels, length=8)
    first = Counter(next((p for p in epoch(sampler, seed) if labels[p] == 0), None) for seed in range(1500))
    assert all(abs(first[position] - 500) < 100 for position in (0, 2, 4))


@given(labels_of_any_kind, st.integers(1, 4), st.integers(1, 4), st.integers(1, 200), seeds)
def test_class_aware_batches(labels: Tensor, turns: int, per_class: int, length: int, seed: int) -> None:
    drawn = epoch(ClassAwareSampler(labels, turns * per_class, per_class, length), seed)
    classes = labels[torch.tensor(drawn)].tolist()
    runs = [classes[start : start + per_class] for start in range(0, length, per_class)]
    assert all(len(set(run)) == 1 for run in runs)
    assert no_repeat_before_exhaustion([run[0] for run in runs], len(labels.unique()))
    for label in labels.unique().tolist():
        own = [position for position in drawn if labels[position] == label]
        assert no_repeat_before_exhaustion(own, int((labels == label).sum()))


def test_a_class_aware_batch_size_must_hold_whole_classes() -> None:
    with pytest.raises(UsageError, match=r"batch size 10 is no multiple of the 4"):
        ClassAwareSampler(torch.arange(20), 10)


def test_a_fixed_draw_of_the_reject_class_stays() -> None:
    inside, outside = torch.arange(100, 120), torch.arange(80)
    sampler = RejectSampler(inside, outside, 7, generator=Generator().manual_seed(0))
    drawn = [set(epoch(sampler, seed)) for seed in range(5)]
    assert all(one == drawn[0] for one in drawn)
    assert len(drawn[0] & set(range(80))) == 7
    assert set(range(100, 120)) <= drawn[0]
    other = RejectSampler(inside, outside, 7, generator=Generator().manual_seed(1))
    assert set(epoch(other)) != drawn[0]
    torch.manual_seed(5)
    assert set(epoch(RejectSampler(inside, outside, 7, generator=Generator().manual_seed(0)))) == drawn[0]


def test_a_redrawn_reject_class_reaches_all_outside_samples_in_time() -> None:
    sampler = RejectSampler(torch.arange(100, 120), torch.arange(30), 10, redraw=True)
    drawn = [epoch(sampler, seed) for seed in range(40)]
    assert all(len(set(one)) == 30 == len(one) for one in drawn)
    assert all(set(range(100, 120)) <= set(one) for one in drawn)
    assert set().union(*drawn) == {*range(30), *range(100, 120)}


def test_reject_samples_are_spread_over_the_epoch() -> None:
    sampler = RejectSampler(torch.arange(1000), torch.arange(1000, 2000), 1000, redraw=True)
    first_half = epoch(sampler)[:1000]
    assert 400 < sum(position >= 1000 for position in first_half) < 600


@pytest.mark.parametrize("redraw", [True, False])
def test_none_or_all_of_the_outside_samples_may_be_used(redraw: bool) -> None:
    for used in (0, 7):
        sampler = RejectSampler(torch.arange(5), torch.arange(10, 17), used, redraw, Generator().manual_seed(0))
        assert sorted(epoch(sampler)) == [*range(5), *range(10, 10 + used)]


def test_more_reject_samples_than_there_are_is_an_error() -> None:
    with pytest.raises(UsageError, match="8 reject samples asked for, but 7"):
        RejectSampler(torch.arange(5), torch.arange(7), 8, redraw=True)
    with pytest.raises(ValueError, match="generator"):
        RejectSampler(torch.arange(5), torch.arange(7), 3)


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 16), st.floats(0.1, 0.9), seeds)
def test_mixed_batches(num_inside: int, num_outside: int, batch_size: int, share: float, seed: int) -> None:
    outside_each = round(batch_size * share)
    if outside_each in (0, batch_size):
        return
    inside, outside = torch.arange(num_inside), torch.arange(1000, 1000 + num_outside)
    drawn = epoch(MixedBatchSampler(inside, outside, batch_size, share), seed)
    batches = [drawn[start : start + batch_size] for start in range(0, len(drawn), batch_size)]
    strangers = [sum(position >= 1000 for position in batch) for batch in batches]
    assert strangers[:-1] == [outside_each] * (len(batches) - 1)
    assert 0 < strangers[-1] <= outside_each
    assert strangers[-1] < len(batches[-1])
    assert sorted(position for position in drawn if position < 1000) == list(range(num_inside))
    # The order within a batch is random, so that exhaustion is judged by how often each was drawn.
    times = Counter(position for position in drawn if position >= 1000)
    often = [times[position] for position in outside.tolist()]
    assert max(often) - min(often) <= 1


def test_each_place_of_a_mixed_batch_is_of_either_kind() -> None:
    """Each process takes a part of the batch: both kinds come first, and last, half of the time."""
    sampler = MixedBatchSampler(torch.arange(8), torch.arange(1000, 1008), 4)
    strangers = (torch.tensor([epoch(sampler, seed) for seed in range(600)]) >= 1000).double().mean(dim=0)
    assert (strangers - 0.5).abs().max() < 5 * (0.25 / 600) ** 0.5  # five standard deviations


def test_a_mixed_batch_needs_both_kinds() -> None:
    with pytest.raises(UsageError, match="without samples"):
        MixedBatchSampler(torch.arange(5), torch.arange(5), 4, 0.05)
