import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as reference

from ltbench.data.augmentation.augment import Augment, AugmentConfig


def pictures(count: int, channels: int, height: int, width: int) -> Tensor:
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=Generator().manual_seed(0))


def unnormalised(config: AugmentConfig, images: Tensor, seed: int = 0) -> Tensor:
    """What training sees, back in 0..255."""
    return Augment(config, (0.0,), (1.0,)).train(images, Generator().manual_seed(seed)) * 255


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """The image moved by whole pixels, pixel by pixel; what comes in from outside repeats the edge."""
    _, height, width = image.shape
    result = torch.empty_like(image)
    for row in range(height):
        for column in range(width):
            source_row, source_column = min(max(row - down, 0), height - 1), min(max(column - right, 0), width - 1)
            result[:, row, column] = image[:, source_row, source_column]
    return result


@pytest.mark.parametrize("channels", [1, 3])
def test_every_sample_is_shifted_by_its_own_whole_pixels(channels: int) -> None:
    images = pictures(60, channels, 6, 7)
    found = set()
    for image, result in zip(images, unnormalised(AugmentConfig(shift=2), images), strict=True):
        moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        matches = [move for move in moves if torch.allclose(result, shifted(image, *move).float(), atol=1e-3)]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) > 18  # of 25, over 60 samples


@pytest.mark.parametrize("shift", [0, 1])
def test_about_half_of_the_samples_are_mirrored(shift: int) -> None:
    images = pictures(200, 3, 5, 6)
    mirrored = 0
    for image, result in zip(images, unnormalised(AugmentConfig(flip=True, shift=shift), images), strict=True):
        moves = [(down, right) for down in range(-shift, shift + 1) for right in range(-shift, shift + 1)]
        options = [shifted(image, *move).float() for move in moves]
        kept = any(torch.allclose(result, option, atol=1e-3) for option in options)
        turned = any(torch.allclose(result, option.flip(-1), atol=1e-3) for option in options)
        assert kept != turned
        mirrored += turned
    assert 70 < mirrored < 130


@pytest.mark.parametrize(("channels", "size"), [(1, 9), (3, 5), (3, None)])
def test_a_crop_is_torchvisions_resized_crop_at_a_place_of_its_own(channels: int, size: int | None) -> None:
    images = pictures(40, channels, 12, 12)
    config = AugmentConfig(crop_scale=(0.25, 0.25), crop_ratio=(1.0, 1.0), size=size)
    side = size or 12
    found = set()
    for image, result in zip(images, unnormalised(config, images), strict=True):
        assert result.shape == (channels, side, side)
        places = [(top, left) for top in range(7) for left in range(7)]
        crops = [reference.resized_crop(image.float(), *place, 6, 6, [side, side], antialias=False) for place in places]
        matches = [p for p, crop in zip(places, crops, strict=True) if torch.allclose(crop, result, atol=0.01)]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) > 20  # of 49, over 40 samples


def test_crops_keep_to_the_scale_and_the_ratio_and_to_the_image() -> None:
    """Read from a picture whose two channels hold the coordinates of their pixels."""
    height, width = 80, 120
    rows = torch.arange(height).view(-1, 1).expand(height, width)
    columns = torch.arange(width).expand(height, width)
    images = torch.stack([rows, columns, rows]).to(torch.uint8).expand(500, -1, -1, -1)
    config = AugmentConfig(crop_scale=(0.1, 0.4), crop_ratio=(0.5, 2.0), size=2)
    crops = unnormalised(config, images)
    # Two output pixels lie at a quarter and three quarters of the box.
    heights, widths = 2 * (crops[:, 0, 1, 0] - crops[:, 0, 0, 0]), 2 * (crops[:, 1, 0, 1] - crops[:, 1, 0, 0])
    tops, lefts = crops[:, 0, 0, 0] + 0.5 - heights / 4, crops[:, 1, 0, 0] + 0.5 - widths / 4
    area = heights * widths / (height * width)
    ratio = widths / heights
    assert float(tops.min()) > -0.01
    assert float(lefts.min()) > -0.01
    assert float((tops + heights).max()) < height + 0.01
    assert float((lefts + widths).max()) < width + 0.01
    assert 0.095 < float(area.min()) < 0.12
    assert 0.37 < float(area.max()) < 0.41
    assert abs(float(area.mean()) - 0.25) < 0.02
    assert 0.48 < float(ratio.min()) < 0.55
    assert 1.8 < float(ratio.max()) < 2.1
    assert abs(float(ratio.log().mean())) < 0.06
    assert abs(float(((tops + heights / 2) / height).mean()) - 0.5) < 0.02


@pytest.mark.parametrize(("height", "width"), [(10, 40), (40, 10)])
def test_a_crop_that_cannot_fit_is_torchvisions_centred_one(height: int, width: int) -> None:
    images = pictures(3, 3, height, width)
    results = unnormalised(AugmentConfig(crop_scale=(1.0, 1.0), size=8), images)
    box = RandomResizedCrop.get_params(images[0], [1.0, 1.0], [3 / 4, 4 / 3])
    expected = reference.resized_crop(images.float(), *box, [8, 8], antialias=False)
    torch.testing.assert_close(results, expected, atol=0.01, rtol=0)


def test_color_jitter_changes_the_training_images_alone() -> None:
    images = pictures(8, 3, 6, 6)
    augment = Augment(AugmentConfig(color_jitter=(0.4, 0.4, 0.4, 0.1)), (0.0,), (1.0,))
    jittered = augment.train(images, Generator().manual_seed(0))
    assert float(jittered.min()) >= 0
    assert float(jittered.max()) <= 1
    assert not torch.allclose(jittered, images / 255, atol=0.01)
    torch.testing.assert_close(augment.plain(images), images / 255)


@pytest.mark.parametrize(("height", "width"), [(80, 100), (101, 90), (64, 64), (57, 77)])
def test_a_larger_image_is_resized_and_centre_cropped_at_evaluation(height: int, width: int) -> None:
    images = pictures(2, 3, height, width)
    plain = Augment(AugmentConfig(size=56, crop_scale=(0.1, 1.0)), (0.0,), (1.0,)).plain(images)
    expected = reference.center_crop(reference.resize(images / 255, 64, antialias=True), 56)
    torch.testing.assert_close(plain, expected, atol=1e-5, rtol=0)


def test_a_smaller_image_is_enlarged_to_the_size_and_one_of_that_size_is_left() -> None:
    augment = Augment(AugmentConfig(size=32), (0.0,), (1.0,))
    small = pictures(2, 1, 28, 36)
    expected = reference.center_crop(reference.resize(small / 255, 32, antialias=True), 32)
    torch.testing.assert_close(augment.plain(small), expected, atol=1e-5, rtol=0)
    fitting = pictures(2, 1, 32, 32)
    torch.testing.assert_close(augment.plain(fitting), fitting / 255)
    torch.testing.assert_close(augment.train(fitting), fitting / 255)


def test_without_a_crop_training_and_evaluation_see_one_size() -> None:
    augment = Augment(AugmentConfig(size=16, shift=1, flip=True), (0.5,), (0.5,))
    images = pictures(3, 3, 40, 50)
    assert augment.train(images).shape == augment.plain(images).shape == (3, 3, 16, 16)


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.2,)), ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))])
def test_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    images = pictures(2, 3, 4, 4)
    result = Augment(AugmentConfig(), mean, std).plain(images)
    assert result.dtype == torch.float32
    for channel in range(3):
        expected = (images[:, channel] / 255 - mean[channel % len(mean)]) / std[channel % len(std)]
        torch.testing.assert_close(result[:, channel], expected)


def test_means_of_another_number_of_channels_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 means for images of 1 channels"):
        Augment(AugmentConfig(), (0.1, 0.2, 0.3), (1.0, 1.0, 1.0)).plain(pictures(1, 1, 4, 4))


def test_everything_random_comes_from_the_generator() -> None:
    config = AugmentConfig(shift=2, flip=True, crop_scale=(0.2, 1.0), color_jitter=(0.4, 0.4, 0.4, 0.1), size=10)
    images = pictures(6, 3, 12, 14)
    torch.manual_seed(1)
    first = unnormalised(config, images, seed=5)
    torch.manual_seed(2)
    assert torch.equal(unnormalised(config, images, seed=5), first)
    assert not torch.equal(unnormalised(config, images, seed=6), first)
    assert not torch.equal(unnormalised(config, images[:1].expand_as(images), seed=5)[0], first[1])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shift": -1}, "shift"),
        ({"crop_scale": (0.5, 0.2)}, "crop_scale"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio"),
        ({"color_jitter": (0.4, 0.4, 0.4, 0.6)}, "hue of at most"),
        ({"size": 0}, "size"),
        ({"mirror": True}, "mirror"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AugmentConfig.model_validate(setting)
