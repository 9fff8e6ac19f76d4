"""mixup: what it asks for, and that the targets are mixed as the images are."""

from types import SimpleNamespace

import numpy as np
import torch
from ltbench_zoo.mixup import Mixup

from ltbench.method import MixConfig
from ltbench.training.mixing import Mixed

from .steps import drawn, softmax, step_of


def test_it_mixes_every_batch_and_does_nothing_else() -> None:
    assert Mixup().mixing() == MixConfig(mixup=0.2, cutmix=0, prob=1, label_smoothing=0)
    assert Mixup(Mixup.Config(alpha=0.4)).mixing() == MixConfig(mixup=0.4)
    method = Mixup()
    method.context = SimpleNamespace(train_split=range(8))  # type: ignore[assignment]
    assert method.training()["mixing"].mixup == 0.2


def test_the_loss_is_mixed_with_the_same_lambda_as_the_images() -> None:
    """One that keeps the first target alone trains on wrong labels."""
    logits, targets = drawn(samples=6)
    mixed = Mixed(0.7, torch.tensor([1, 0, 3, 2, 5, 4]))
    images = torch.arange(6.0)[:, None]
    assert torch.allclose(mixed.images(images)[:, 0], torch.tensor([0.3, 0.7, 2.3, 2.7, 4.3, 4.7]))
    log_p, rows = np.log(softmax(logits)), np.arange(6)
    own, other = targets.numpy(), targets.numpy()[[1, 0, 3, 2, 5, 4]]
    expected = -(0.7 * log_p[rows, own] + 0.3 * log_p[rows, other]).mean()
    assert np.isclose(float(Mixup().objective(step_of(logits, targets, mixed=mixed))), expected)
