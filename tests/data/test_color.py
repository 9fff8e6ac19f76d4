import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import functional as reference

from ltbench.data.augmentation import color
from ltbench.data.augmentation.draws import Draws

OPERATIONS = {
    "brightness": (color.adjust_brightness, [0.0, 0.4, 1.0, 1.7]),
    "contrast": (color.adjust_contrast, [0.0, 0.4, 1.0, 1.7]),
    "saturation": (color.adjust_saturation, [0.0, 0.4, 1.0, 1.7]),
    "hue": (color.adjust_hue, [-0.5, -0.2, 0.0, 0.35]),
}


def drawn(images: Tensor) -> Tensor:
    return color.draw_jitter(Draws(Generator().manual_seed(0), len(images)))


def pictures(channels: int) -> Tensor:
    images = torch.rand(4, channels, 9, 11, generator=Generator().manual_seed(0))
    images[:, :, 0, :2] = torch.tensor([0.0, 1.0])  # black, white: no hue
    images[:, :, 1, :2] = 0.3
    return images


@pytest.mark.parametrize(
    ("name", "channels"), [("brightness", 1), ("contrast", 1), *((operation, 3) for operation in OPERATIONS)]
)
def test_each_operation_is_torchvisions_with_each_samples_own_amount(name: str, channels: int) -> None:
    operation, amounts = OPERATIONS[name]
    images = pictures(channels)
    adjusted = operation(images.clone(), torch.tensor(amounts).view(-1, 1, 1, 1))
    for image, amount, result in zip(images, amounts, adjusted, strict=True):
        expected = getattr(reference, f"adjust_{name}")(image, amount)
        torch.testing.assert_close(result, expected, atol=2e-4, rtol=0)


def test_factors_are_uniform_between_one_minus_and_one_plus_the_strength() -> None:
    images = torch.full((400, 3, 2, 2), 0.5)
    factors = color.jitter_color(images, (0.4, 0, 0, 0), drawn(images))[:, 0, 0, 0] / 0.5
    assert 0.6 <= float(factors.min()) < 0.62
    assert 1.38 < float(factors.max()) <= 1.4
    assert abs(float(factors.mean()) - 1) < 0.05
    assert len(factors.unique()) > 390


def test_brightness_and_contrast_come_in_both_orders() -> None:
    """On a picture half black, half white: brightened first, the two still sum to 1; afterwards, to more than that."""
    images = torch.zeros(200, 1, 2, 2)
    images[:, :, 0] = 1
    jittered = color.jitter_color(images, (0.5, 0.5, 0, 0), drawn(images))
    white, black = jittered[:, 0, 0, 0], jittered[:, 0, 1, 0]
    total = (white + black)[black > 0.01]
    assert int((total > 1.02).sum()) > 10
    assert int((total - 1).abs().lt(1e-5).sum()) > 10


def test_saturation_and_hue_leave_greyscale_images_alone() -> None:
    images = pictures(1)
    assert torch.equal(color.jitter_color(images, (0, 0, 0.9, 0.5), drawn(images)), images)


def test_jitter_does_not_write_into_its_input() -> None:
    images = pictures(3)
    before = images.clone()
    color.jitter_color(images, (0.4, 0.4, 0.4, 0.1), drawn(images))
    assert torch.equal(images, before)
