"""Each epoch of a training draws anew, the same in every run: how images are augmented, cut, and which view is taken."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from ltbench.data.augmentation.augment import Augment, AugmentConfig
from ltbench.data.augmentation.cuts import Cut
from ltbench.data.base import Batch, Split, TensorSplit
from ltbench.data.samplers import EpochSampler
from ltbench.engine.context import StageContext
from ltbench.method import Member
from ltbench.testing.method_contract import workbench
from ltbench.training.optim import OptimConfig

SAMPLES, EPOCHS = 40, 4


class InOrder(EpochSampler):
    """The same order in each epoch, so that nothing but the draws can differ."""

    def __len__(self) -> int:
        return SAMPLES

    def indices(self, epoch: int, generator: Generator) -> Tensor:
        return torch.arange(SAMPLES)


class Boxes:
    """Pictures of 32 x 48 pixels whose pixels say which box of them was read."""

    labels = torch.arange(SAMPLES) % 6

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        raise AssertionError("these are cut")

    def cut(self, indices: Sequence[int], cut: Cut) -> Batch:
        chosen = torch.as_tensor(indices)
        boxes = cut.boxes(torch.tensor([[32, 48]]).expand(len(chosen), 2))
        pixels = (4 * boxes).round().to(torch.uint8)  # top, left, height, width in quarters of a pixel
        images = pixels.repeat_interleave(64, dim=1).view(len(chosen), 1, 16, 16)
        return Batch(images, self.labels[chosen], chosen)


def still() -> TensorSplit:
    """Images with a pattern of their own, each."""
    images = torch.randint(256, (SAMPLES, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return TensorSplit(images, torch.arange(SAMPLES) % 6)


def seen(folder: Path, train: Split, augment: AugmentConfig, features: Tensor | None = None) -> list[Tensor]:
    """What the network, or the head, is given in each epoch of a training: float[40, ...] each."""
    folder.mkdir()
    bench = workbench(folder)
    prepared = Augment(augment, [0.0], [1.0])
    context = StageContext("toy", dataclasses.replace(bench, train=train, augment=prepared), folder, {})
    backbone = context.new_backbone()
    member = Member("all", torch.arange(6), backbone, nn.Linear(backbone.num_features, 6))
    batches: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if module.training:
            batches.append(inputs[0].detach().clone())

    (member.head if features is not None else backbone).register_forward_pre_hook(note)
    optim = OptimConfig(epochs=EPOCHS, batch_size=16, lr=0.01)
    context.train(member, optim=optim, sampler=InOrder(), features=features)
    epochs = torch.cat(batches).split(SAMPLES)
    assert len(epochs) == EPOCHS
    return list(epochs)


def numbered_views() -> Tensor:
    """float[5, 40, 32]: view v of each sample is v everywhere."""
    return torch.arange(5.0)[:, None, None].expand(5, SAMPLES, 32).contiguous()


WAYS = {
    "shifted": (still(), AugmentConfig(shift=3), None),
    "flipped": (still(), AugmentConfig(flip=True), None),
    "cropped when they are read": (Boxes(), AugmentConfig(crop_scale=(0.2, 1.0)), None),
    "views of features": (still(), AugmentConfig(), numbered_views()),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_epoch_draws_anew_and_every_run_alike(tmp_path: Path, way: str) -> None:
    split, augment, features = WAYS[way]
    first, again = (seen(tmp_path / name, split, augment, features) for name in ("first", "again"))
    for epoch, other in zip(first, again, strict=True):
        assert torch.equal(epoch, other)
    for one in range(EPOCHS):
        for other in range(one):
            changed = (first[one] != first[other]).flatten(1).any(dim=1).float().mean()
            assert changed > 0.25, f"epochs {other} and {one} are the same for all but {changed:.0%} of the samples"


def test_what_is_not_drawn_stays(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    epochs = seen(tmp_path / "plain", still(), AugmentConfig())
    assert all(torch.equal(epoch, epochs[0]) for epoch in epochs)
