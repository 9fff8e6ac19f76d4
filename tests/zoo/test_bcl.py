"""BCL: the contrast by hand; prototypes are positives; each class counts once; three views; pairs of the whole batch."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ltbench_zoo.bcl import BCL, balanced_contrast, of_the_whole_batch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.errors import UsageError
from ltbench.training.mixing import Mixed

from .fitted import CHOSEN, N, fitted, log_softmax


def contrast_by_hand(features: Tensor, targets: Tensor, prototypes: Tensor, t: float, averaged: bool = True) -> float:
    """Sample by sample, class by class; or with all samples of a class summed up, as supervised contrast has it."""
    z, y = (each.detach().double().numpy() for each in (torch.cat([features, prototypes]), targets))
    classes = np.append(y, np.arange(len(prototypes)))
    losses = []
    for i, own in enumerate(y):
        odds = np.exp(z @ z[i] / t)
        others = [[k for k in range(len(z)) if classes[k] == c and k != i] for c in range(len(prototypes))]
        total = sum(odds[of_class].mean() if averaged else odds[of_class].sum() for of_class in others)
        losses.append(-np.mean([np.log(odds[k] / total) for k in others[int(own)]]))
    return float(np.mean(losses))


def drawn(samples: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Features, targets and prototypes of four classes, of which the batch has three."""
    generator = torch.Generator().manual_seed(3)
    features, prototypes = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (samples, 4))
    return F.normalize(features), torch.randint(3, (samples,), generator=generator), F.normalize(prototypes)


@pytest.mark.parametrize("t", [0.07, 0.5])
def test_the_contrast_by_hand(t: float) -> None:
    assert float(balanced_contrast(*drawn(), t)) == pytest.approx(contrast_by_hand(*drawn(), t))


def test_a_class_counts_once_however_many_samples_a_batch_has_of_it() -> None:
    """Class averaging: without it the negatives are those of frequent classes."""
    assert abs(float(balanced_contrast(*drawn(), 0.5)) - contrast_by_hand(*drawn(), 0.5, averaged=False)) > 0.5


def test_prototypes_are_positives_so_that_a_sample_alone_in_its_class_has_one() -> None:
    """Without them such a sample has none, 0 / 0, and a class that a batch misses has no place."""
    features, _, prototypes = drawn(samples=3)
    prototypes.requires_grad_()
    loss = balanced_contrast(features, torch.tensor([0, 1, 2]), prototypes, 0.5)
    (gradient,) = torch.autograd.grad(loss, prototypes)
    assert torch.isfinite(loss)
    assert ((features * gradient[:3]).sum(dim=1) < 0).all(), "each is drawn to its sample"
    assert ((features @ gradient[3]) > 0).all(), "that of the missing class is pushed away"


def test_extreme_similarities_leave_no_nan() -> None:
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = balanced_contrast(features, torch.tensor([0, 0, 1]), torch.eye(2), 0.001)
    loss.backward()
    assert torch.isfinite(features.grad).all()


def test_both_losses_by_hand() -> None:
    method, context, (member,) = fitted(BCL, width=6, weight=0.4, temperature=0.2, scale=8.0)
    random = torch.Generator().manual_seed(1)
    views = [torch.randn(len(CHOSEN), 1, 4, 4, generator=random) for _ in range(3)]
    step = context.step(member, CHOSEN, views=views)
    with torch.no_grad():
        logits = member.module(views[0]).double().numpy()
        further = [F.normalize(method.projection(member.backbone(view)), dim=1) for view in views[1:]]
        prototypes = F.normalize(method.to_prototypes(member.head.weight), dim=1)
    y, rows = step.targets.numpy(), np.arange(len(CHOSEN))
    classified = -log_softmax(logits + np.log(N / N.sum()))[rows, y].mean()
    contrast = contrast_by_hand(torch.cat(further), step.targets.repeat(2), prototypes, 0.2)
    with torch.no_grad():
        found = method.objective(step)
    assert float(found["classified"]) == pytest.approx(classified, rel=1e-4)
    assert float(found["contrast"]) == pytest.approx(contrast, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(classified + 0.4 * contrast, rel=1e-4)


def test_three_views_of_an_image_of_which_the_first_is_augmented_strongly() -> None:
    _, context, _ = fitted(BCL)
    assert [view.policy for view in context.trained[0]["views"]] == ["rand", "none", "none"]
    _, context, _ = fitted(BCL, policy="none")
    assert context.trained[0]["views"] == [context.augment.config] * 3


def test_what_the_classifier_does_not_need_learns_beside_it_and_is_kept() -> None:
    method, context, (member,) = fitted(BCL, width=6)
    assert context.trained[0]["keep"] == {"projection": method.projection, "prototypes": method.to_prototypes}
    method.objective(context.step(member, CHOSEN, views=3))["loss"].backward()
    for module in (method.projection, method.to_prototypes, member.module):
        assert all(parameter.grad is not None for parameter in module.parameters() if parameter.requires_grad)
    assert member.module(torch.zeros(2, 1, 4, 4)).shape == (2, 4)


def test_mixed_images_have_no_class_to_contrast() -> None:
    method, context, (member,) = fitted(BCL)
    step = context.step(member, CHOSEN[:4], views=3, mixed=Mixed(0.5, torch.tensor([1, 0, 3, 2])))
    with pytest.raises(UsageError, match="bcl contrasts the images of one class"):
        method.objective(step)


@pytest.mark.parametrize("cut", [8, 7])
def test_two_processes_know_every_pair(cut: int) -> None:
    """The average of their gradients, weighed by their samples, is the gradient of the whole batch."""
    torch.manual_seed(0)
    inputs, layer = torch.randn(15, 2, 3, dtype=torch.float64), nn.Linear(3, 5).double()
    _, _, prototypes = drawn()
    targets, indices = torch.arange(15) % 3, torch.randperm(15)

    def loss(rows: slice) -> Tensor:
        own = F.normalize(layer(inputs[rows]), dim=2)
        whole = {"features": F.normalize(layer(inputs), dim=2).detach(), "targets": targets, "indices": indices}
        part = {id(own): "features", id(targets_of := targets[rows]): "targets"}
        step = SimpleNamespace(
            targets=targets_of, indices=indices[rows], gather=lambda each: whole[part.get(id(each), "indices")]
        )
        features, labels = of_the_whole_batch(step, own)
        return balanced_contrast(features.flatten(0, 1), labels.repeat_interleave(2), prototypes, 0.5)

    (alone,) = torch.autograd.grad(loss(slice(0, 15)), layer.weight)
    parts = [slice(0, cut), slice(cut, 15)]
    shares = [cut / 15, 1 - cut / 15]
    gradients = [torch.autograd.grad(loss(part), layer.weight)[0] for part in parts]
    assert torch.allclose(sum(share * each for share, each in zip(shares, gradients, strict=True)), alone)
    with torch.no_grad():
        assert [float(loss(part)) for part in parts] == pytest.approx([float(loss(slice(0, 15)))] * 2)
