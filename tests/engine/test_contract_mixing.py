"""Batch transforms and augmentation policies: their mathematics, and that no draw depends on who computes it."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.augment_config import MixConfig
from ltbench.data.augmentation.draws import Draws
from ltbench.data.samplers import InstanceSampler
from ltbench.engine.machine.loading import EpochBatches
from ltbench.errors import UsageError
from ltbench.training.mixing import Mixed, draw_mixed, neighbours
from ltbench.training.step import Clock, Engine, Minibatch, Output, Step


def step_on(logits: Tensor, targets: Tensor, mixed: Mixed | None = None, smoothing: float = 0.0) -> Step:
    places = torch.arange(len(targets))
    batch = Minibatch((logits,), targets, places, places, len(targets), mixed)
    engine = Engine(lambda inputs: {"all": Output(inputs, inputs)}, torch.Generator, None, lambda *_: logits, smoothing)
    return Step(batch, Clock(0, 1, 0, 1), engine)


def log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([0, 3, 1, 1, 2, 0])
MIXED = Mixed(0.3, neighbours(6))


def test_mixed_images_lose_lambda_of_the_one_target_and_the_rest_of_the_other() -> None:
    log_p = log_softmax(LOGITS.double().numpy())
    partner = np.array([1, 0, 3, 2, 5, 4])
    rows = np.arange(6)
    own, other = TARGETS.numpy(), TARGETS.numpy()[partner]
    expected = -(0.3 * log_p[rows, own] + 0.7 * log_p[rows, other]).mean()
    assert float(step_on(LOGITS, TARGETS, MIXED).loss_of(F.cross_entropy)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mixed", [None, MIXED])
def test_smoothed_targets_leave_epsilon_to_all_classes(mixed: Mixed | None) -> None:
    log_p = log_softmax(LOGITS.double().numpy())
    soft = np.full((6, 4), 0.2 / 4)
    soft[np.arange(6), TARGETS.numpy()] += 0.8
    if mixed is not None:
        soft = 0.3 * soft + 0.7 * soft[[1, 0, 3, 2, 5, 4]]
    expected = -(soft * log_p).sum(axis=1).mean()
    step = step_on(LOGITS, TARGETS, mixed, smoothing=0.2)
    assert float(step.loss_of(F.cross_entropy)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(step.soft_targets.numpy(), soft, rtol=1e-5)


def test_a_loss_that_takes_no_soft_targets_is_told_so() -> None:
    def focal(logits: Tensor, targets: Tensor) -> Tensor:
        return -logits.log_softmax(dim=1).gather(1, targets[:, None]).mean()

    with pytest.raises(UsageError, match=r"^mixing.label_smoothing = 0.1: the loss takes no targets float\[B, K\]"):
        step_on(LOGITS, TARGETS, smoothing=0.1).loss_of(focal)


def test_a_piece_of_a_mixed_batch_keeps_its_pairs() -> None:
    targets = torch.arange(7)
    batch = Minibatch((LOGITS[:1].expand(7, 4),), targets, targets, targets, 7, Mixed(0.4, neighbours(7)))
    pieces = batch.pieces(3)
    assert sum(len(piece) for piece in pieces) == 7
    for piece in pieces:
        partners = piece.targets[piece.mixed.partner]
        assert (partners // 2 == piece.targets // 2).all()


def test_mixup_and_cutmix_mix_what_they_say() -> None:
    images = torch.randn(4, 3, 10, 10)
    mixed = Mixed(0.25, neighbours(4)).images(images)
    torch.testing.assert_close(mixed[0], 0.25 * images[0] + 0.75 * images[1])
    torch.testing.assert_close(mixed[3], 0.25 * images[3] + 0.75 * images[2])
    drawn = [draw_mixed(MixConfig(cutmix=1.0), seed, 4, (10, 10)) for seed in range(50)]
    for one in drawn:
        top, left, height, width = one.box
        made = one.images(images)
        inside = torch.zeros(10, 10, dtype=torch.bool)
        inside[top : top + height, left : left + width] = True
        assert torch.equal(made[0][:, inside], images[1][:, inside])
        assert torch.equal(made[0][:, ~inside], images[0][:, ~inside])
        assert one.lam == pytest.approx(1 - float(inside.float().mean()))
    assert len({one.box for one in drawn}) > 10


def test_lambda_is_from_a_beta_distribution_and_the_shares_are_kept() -> None:
    both = MixConfig(mixup=0.4, cutmix=1.0, prob=0.5, switch_prob=0.25)
    drawn = [draw_mixed(both, seed, 2, (32, 32)) for seed in range(4000)]
    assert np.mean([one is not None for one in drawn]) == pytest.approx(0.5, abs=0.03)
    done = [one for one in drawn if one is not None]
    assert np.mean([one.box is not None for one in done]) == pytest.approx(0.25, abs=0.03)
    lambdas = np.array([one.lam for one in done if one.box is None])
    assert lambdas.mean() == pytest.approx(0.5, abs=0.03)
    assert lambdas.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.015), "of Beta(0.4, 0.4)"
    assert draw_mixed(MixConfig(cutmix=1.0), 0, 2, None) is None, "features have no boxes"


@pytest.mark.parametrize("world", [1, 2, 3])
def test_pairs_are_the_same_on_any_number_of_processes(world: int) -> None:
    def shares(rank: int, of: int) -> list[Any]:
        compute: Any = SimpleNamespace(rank=rank, world=of)
        return EpochBatches(InstanceSampler(45), 16, compute, 0, "name", pairs=True).shares()

    def pairs(parts: Sequence[Any]) -> set[frozenset[int]]:
        found = set()
        for part in parts:
            partner = neighbours(len(part.samples))
            found |= {frozenset((int(a), int(b))) for a, b in zip(part.samples, part.samples[partner], strict=True)}
        return found

    each = [shares(rank, world) for rank in range(world)]
    for number, whole in enumerate(shares(0, 1)):
        parts = [own[number] for own in each]
        assert pairs(parts) == pairs([whole])
        assert sorted(torch.cat([part.samples for part in parts]).tolist()) == sorted(whole.samples.tolist())
        assert whole.samples.tolist() != sorted(whole.samples.tolist())


POLICIES: list[dict[str, Any]] = [
    {"policy": "rand", "rand_ops": 3, "rand_magnitude": 20},
    {"policy": "trivial"},
    {"policy": "auto-imagenet"},
    {"policy": "auto-cifar10"},
    {"cutout": 6},
    {"erasing": 0.7},
    {"policy": "trivial", "crop_scale": (0.4, 1.0), "flip": True, "color_jitter": (0.2, 0.2, 0.2, 0.1), "erasing": 0.5},
]


def pictures(channels: int) -> Tensor:
    return torch.randint(256, (24, channels, 12, 14), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


@pytest.mark.parametrize("settings", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_comes_out_the_same_whoever_augments_it(settings: dict[str, Any], channels: int) -> None:
    images = pictures(channels)
    augment = Augment(AugmentConfig(**settings), (0.5,), (0.25,))
    whole = augment.train(images, Draws(torch.Generator().manual_seed(5), 24))
    assert torch.isfinite(whole).all()
    for rank in (0, 1):
        places = torch.arange(24)[rank::2]
        part = augment.train(images[places], Draws(torch.Generator().manual_seed(5), 24, places))
        torch.testing.assert_close(part, whole[places])
    other = augment.train(images, Draws(torch.Generator().manual_seed(6), 24))
    assert not torch.equal(other, whole)
    changed = (whole - augment.plain(images)).abs().flatten(1).sum(dim=1) > 0
    assert changed.float().mean() > 0.4


@pytest.mark.parametrize("policy", ["rand", "trivial"])
def test_every_operation_occurs(policy: str) -> None:
    from ltbench.data.augmentation.policies import RANDOM, draw_policy

    chosen = draw_policy(policy, Draws(torch.Generator().manual_seed(0), 3000))
    counts = torch.bincount(chosen.operations.flatten(), minlength=len(RANDOM)).double()
    assert (counts / counts.sum() - 1 / len(RANDOM)).abs().max() < 0.02
    assert (chosen.magnitudes.abs() <= 1).all()
    assert (chosen.magnitudes > 0).any()
    assert (chosen.magnitudes < 0).any()


def test_operations_are_torchvision_s() -> None:
    """Against ``torchvision.transforms.autoaugment`` on the same operation and magnitude."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.autoaugment import _apply_op

    from ltbench.data.augmentation.policies import RANDOM, Chosen, apply_policy

    images = pictures(3)
    space = {
        "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 150.0 / 331.0 * 14, "TranslateY": 150.0 / 331.0 * 12, "Rotate": 30.0,
        "Brightness": 0.9, "Color": 0.9, "Contrast": 0.9, "Sharpness": 0.9,
    }  # fmt: skip
    for name in RANDOM:
        for magnitude in (0.5, -0.9):
            number = torch.full((1, 24), RANDOM.index(name))
            made = apply_policy(images, Chosen(RANDOM, number, torch.full((1, 24), magnitude, dtype=torch.float64)))
            value = {
                "Posterize": 8 - round(abs(magnitude) * 4),
                "Solarize": 255.0 * (1 - abs(magnitude)),
            }.get(name, magnitude * space.get(name, 0.0))
            expected = torch.stack([_apply_op(each, name, value, InterpolationMode.NEAREST, None) for each in images])
            assert (made.int() - expected.int()).abs().max() <= 1, name


def test_cutout_and_erasing_set_a_rectangle_to_the_mean() -> None:
    images = torch.full((200, 1, 12, 12), 255, dtype=torch.uint8)
    made = Augment(AugmentConfig(cutout=4), (0.5,), (0.25,)).train(images, torch.Generator().manual_seed(0))
    erased = (made == 0).flatten(1).sum(dim=1)
    assert set(erased.tolist()) <= {a * b for a in (2, 3, 4) for b in (2, 3, 4)}
    assert int(erased.max()) == 16
    made = Augment(AugmentConfig(erasing=0.4), (0.5,), (0.25,)).train(images, torch.Generator().manual_seed(0))
    share = (made == 0).flatten(1).float().mean(dim=1)
    assert float((share > 0).float().mean()) == pytest.approx(0.4, abs=0.1)
    assert 0.01 < float(share[share > 0].min()) < float(share.max()) < 0.4
