"""Batches: every sample once, none too small, and the processes' shares are disjoint and complete."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ltbench.config import ComputeConfig
from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.base import TensorSplit
from ltbench.data.samplers import ClassAwareSampler, ClassBalancedSampler, InstanceSampler
from ltbench.engine.evaluation.inference import View, run_over
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.loading import SMALLEST, EpochBatches, in_batches, training_loader
from ltbench.errors import UsageError

sizes = st.integers(1, 300)
worlds = st.integers(1, 5)


def process(rank: int, world: int) -> Any:
    return SimpleNamespace(rank=rank, world=world, device=torch.device("cpu"), config=ComputeConfig())


@given(samples=sizes, batch_size=sizes, world=worlds)
def test_cut_keeps_every_sample_once_and_leaves_no_batch_too_small(samples: int, batch_size: int, world: int) -> None:
    order, least = torch.arange(samples).flip(0), SMALLEST * world
    if min(samples, batch_size) < least:
        with pytest.raises(UsageError, match="too few" if samples < least else "optim.batch_size"):
            in_batches(order, batch_size, world)
        return
    batches = in_batches(order, batch_size, world)
    assert torch.equal(torch.cat(batches), order)
    assert min(map(len, batches)) >= least
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(batches[-1]) < batch_size + least


@given(samples=st.integers(10, 300), batch_size=st.integers(10, 100), world=worlds, seed=st.integers(0, 3))
def test_the_processes_share_each_batch_without_repeats(samples: int, batch_size: int, world: int, seed: int) -> None:
    def batches(rank: int, of: int) -> list[list[int]]:
        return list(EpochBatches(InstanceSampler(samples), batch_size, process(rank, of), seed, "name"))

    shares = [batches(rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    for alone, together in zip(cut_alone(samples, batch_size, world, seed), zip(*shares, strict=True), strict=True):
        assert sorted(sum(together, [])) == sorted(alone)
        assert min(map(len, together)) >= SMALLEST
        assert max(map(len, together)) - min(map(len, together)) <= 1
    assert sorted(position for share in shares for batch in share for position in batch) == list(range(samples))


def cut_alone(samples: int, batch_size: int, world: int, seed: int) -> list[list[int]]:
    """The whole batches that ``world`` processes have together: their order does not depend on who they are."""
    whole = EpochBatches(InstanceSampler(samples), batch_size, process(0, 1), seed, "name")
    order = torch.cat([share.samples for share in whole.shares()])
    return [batch.tolist() for batch in in_batches(order, batch_size, world)]


@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=6), world=worlds, seed=st.integers(0, 3))
def test_the_processes_share_class_balanced_batches_without_repeats(counts: list[int], world: int, seed: int) -> None:
    """As many samples of each class as one process draws, and none again before its class is used up."""
    labels, batch_size = torch.repeat_interleave(torch.tensor(counts)), 12
    if len(labels) < SMALLEST * world:
        return
    for sampler in (ClassBalancedSampler(labels), ClassAwareSampler(labels, batch_size, 3)):
        of_each = [list(EpochBatches(sampler, batch_size, process(rank, world), seed, "name")) for rank in range(world)]
        drawn = torch.tensor([position for share in of_each for batch in share for position in batch])
        (alone,) = EpochBatches(sampler, len(labels), process(0, 1), seed, "name").shares()
        assert sorted(drawn.tolist()) == sorted(alone.samples.tolist())
        times = torch.bincount(drawn, minlength=len(labels))
        for label in range(len(counts)):
            assert times[labels == label].max() - times[labels == label].min() <= 1


def test_every_epoch_has_an_order_of_its_own_and_the_same_in_every_run() -> None:
    def epochs() -> list[list[list[int]]]:
        batches = EpochBatches(InstanceSampler(50), 20, process(0, 1), 0, "name")
        orders = []
        for epoch in range(3):
            batches.epoch = epoch
            orders.append(list(batches))
        return orders

    first = epochs()
    assert first == epochs()
    assert first[0] != first[1] != first[2]


def numbered(samples: int) -> TensorSplit:
    """Image k holds k everywhere."""
    images = torch.arange(samples, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    return TensorSplit(images, torch.arange(samples))


class FirstPixel(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, 0, 0]


AS_IT_IS = Augment(AugmentConfig(), [0.0], [1.0])


class Raw(View):
    def prepare(self, images: Tensor, samples: Tensor) -> Tensor:
        return images.float()


@pytest.mark.parametrize("samples", [1, 7, 8, 9, 61])
def test_inference_answers_for_every_sample_in_order(samples: int) -> None:
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", eval_batch_size=8))
    answer = run_over(FirstPixel(), numbered(samples), compute, Raw(AS_IT_IS, 2))
    assert answer.flatten().tolist() == list(range(samples))
    chosen = torch.arange(samples).flip(0)[::2]
    assert (
        run_over(FirstPixel(), numbered(samples), compute, Raw(AS_IT_IS, 2), chosen).flatten().tolist()
        == chosen.tolist()
    )


def test_worker_processes_read_the_same_batches() -> None:
    compute = Compute(ComputeConfig(device="cpu", precision="fp32", workers=1))
    batches = EpochBatches(InstanceSampler(20), 8, compute, 0, "name")
    loaded = [batch.indices.tolist() for (batch,) in training_loader(numbered(20), batches, [AS_IT_IS], 2, compute)]
    assert loaded == list(batches)
