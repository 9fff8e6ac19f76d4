"""Random resized crops: boxes lie inside, within the bounds, as torchvision's; draws do not depend on who shares a batch."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.cuts import CentreCut, draw_uniform, random_boxes
from ltbench.data.augmentation.draws import SAMPLES, Draws

sides = st.integers(8, 900)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(height=sides, width=sides, seed=st.integers(0, 5))
def test_boxes_lie_inside_images_of_any_size(height: int, width: int, seed: int) -> None:
    sizes = torch.tensor([[height, width], [width, height], [64, 64]])
    for boxes in (
        random_boxes(sizes, (0.08, 1.0), (3 / 4, 4 / 3), draw_uniform(Draws(generator(seed), 3))),
        CentreCut(56).boxes(sizes),
    ):
        top, left, tall, wide = boxes.T
        assert bool((boxes[:, 2:] > 0).all())
        assert bool((torch.stack([top, left]) >= 0).all())
        assert bool((top + tall <= sizes[:, 0] + 1e-9).all())
        assert bool((left + wide <= sizes[:, 1] + 1e-9).all())


def test_area_and_shape_follow_the_bounds() -> None:
    sizes = torch.tensor([[375, 500]]).expand(4000, 2)
    boxes = random_boxes(sizes, (0.08, 1.0), (3 / 4, 4 / 3), draw_uniform(Draws(generator(0), 4000)))
    share = boxes[:, 2] * boxes[:, 3] / (375 * 500)
    ratio = boxes[:, 3] / boxes[:, 2]
    assert 0.07 < float(share.min()) < 0.1
    assert float(share.max()) <= 1.0
    assert float(ratio.min()) > 0.74
    assert float(ratio.max()) < 1.35
    # Uniform on the logarithm of the ratio, among the boxes that fit.
    small = share < 0.5
    assert abs(float(ratio[small].log().mean())) < 0.02
    assert abs(float(ratio[small].log().std()) - math.log(4 / 3) / math.sqrt(3)) < 0.01


def test_processes_draw_what_one_would_have_drawn() -> None:
    whole = Draws(generator(1), 7)
    everything = [whole.uniform(4, SAMPLES), whole.integers(0, 9, SAMPLES, 2), whole.uniform(SAMPLES)]
    for rank in range(3):
        places = torch.arange(7)[rank::3]
        own = Draws(generator(1), 7, places)
        assert torch.equal(own.uniform(4, SAMPLES), everything[0][:, places])
        assert torch.equal(own.integers(0, 9, SAMPLES, 2), everything[1][places])
        assert torch.equal(own.uniform(SAMPLES), everything[2][places])


def test_augmented_images_do_not_depend_on_how_the_batch_is_shared() -> None:
    config = AugmentConfig(crop_scale=(0.3, 1.0), flip=True, color_jitter=(0.4, 0.4, 0.4, 0.1), size=12)
    augment = Augment(config, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2))
    images = torch.randint(0, 256, (7, 3, 16, 20), dtype=torch.uint8, generator=generator(0))
    alone = augment.train(images, generator(2))
    for rank in range(2):
        places = torch.arange(7)[rank::2]
        torch.testing.assert_close(augment.train(images[places], Draws(generator(2), 7, places)), alone[places])
