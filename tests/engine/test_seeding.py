"""Random streams: same name, same numbers; nothing else can shift them."""

import hashlib
import random

import numpy as np
import pytest
import torch

from ltbench.engine.machine.seeding import global_stream, seed_globals, stream, stream_seed


def draw() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002


def test_a_stream_depends_on_the_seed_and_every_part_of_its_name() -> None:
    names = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "a", 1), (0, "a", 2)]
    seeds = [stream_seed(*name) for name in names]
    assert len(set(seeds)) == len(seeds)
    assert [stream_seed(*name) for name in names] == seeds
    assert all(0 <= seed < 2**63 for seed in seeds)
    first, again = (torch.rand(5, generator=stream(0, "a")) for _ in range(2))
    assert torch.equal(first, again)


def test_a_seed_is_the_first_63_bits_of_the_name_s_hash() -> None:
    """What runs drew yesterday they draw tomorrow."""
    digest = hashlib.sha256(b"3/train/epoch/12").hexdigest()
    assert stream_seed(3, "train", "epoch", 12) == int(digest[:16], 16) // 2


def test_every_global_generator_gets_the_seed() -> None:
    value = 2**62 + 2**33 + 12_345
    with global_stream(0, "anything"):
        seed_globals(value)
        drawn = draw()
    ours = torch.rand((), generator=torch.Generator().manual_seed(value))
    assert drawn == (float(ours), np.random.RandomState(value % 2**32).rand(), random.Random(value).random())


def test_inside_a_global_stream_the_same_numbers_are_drawn_each_time() -> None:
    drawn = []
    for noise in (1, 2):
        draw()
        torch.manual_seed(noise)
        with global_stream(0, "name"):
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    with global_stream(0, "another name"):
        assert all(ours != theirs for ours, theirs in zip(draw(), drawn[0], strict=True))


@pytest.mark.parametrize("error", [None, ValueError])
def test_a_global_stream_leaves_the_global_generators_as_they_were(error: type[Exception] | None) -> None:
    def seed() -> None:
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        random.seed(5)

    seed()
    expected = draw()
    seed()
    try:
        with global_stream(0, "name"):
            draw()
            if error is not None:
                raise error
    except ValueError:
        pass
    assert draw() == expected
