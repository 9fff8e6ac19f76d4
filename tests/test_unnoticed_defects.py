"""The contract suite finds what trains and looks well and goes wrong without a word; and nothing in what is right."""

from collections.abc import Sequence

import pytest
import torch
from ltbench_methods.baseline import Baseline
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import InstanceSampler
from ltbench.method import AugmentConfig, Member, MethodContext
from ltbench.testing import check_method
from ltbench.training.request import Training
from ltbench.training.step import Step


class BatchNormalised(Baseline):
    """Its head normalises by the batch in eval mode, too."""

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        norm = nn.BatchNorm1d(num_features, track_running_stats=False)
        return nn.Sequential(norm, super().head(num_features, num_classes))


class LooksAtTheFirst(nn.Module):
    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.num_features = trunk, trunk.num_features

    def forward(self, images: Tensor) -> Tensor:
        features = self.trunk(images)
        return features - features[:1]


class FirstOfBatch(Baseline):
    """Its features are those beside the batch's first image."""

    def backbone(self, context: MethodContext):
        backbone = super().backbone(context)
        backbone.trunk = LooksAtTheFirst(backbone.trunk)
        return backbone


class EachTwice(InstanceSampler):
    """Two views of each image as two samples, side by side."""

    def indices(self, epoch: int, generator: Generator) -> Tensor:
        return super().indices(epoch, generator).repeat_interleave(2)


def contrast(features: Tensor) -> Tensor:
    """Of rows 2k and 2k + 1 float[B, D], which are meant to show one image."""
    return F.cross_entropy(features[0::2] @ features[1::2].T, torch.arange(len(features) // 2))


class ViewsApartInLoss(Baseline):
    def sampler(self, context: MethodContext) -> EachTwice:
        return EachTwice(len(context.train_split))

    def loss(self, logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:  # type: ignore[override]
        return F.cross_entropy(logits, targets) + contrast(features)


class ViewsApartInObjective(ViewsApartInLoss):
    """The contrast comes in from the second step on."""

    def objective(self, step: Step) -> dict[str, Tensor]:
        output = step.outputs["all"]
        plain = F.cross_entropy(output.logits, step.targets)
        return {"plain": plain, "contrast": (0.0 if step.step == 0 else 1.0) * contrast(output.features)}


class ViewsApartInUpdate(ViewsApartInLoss):
    def update(self, step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
        output = step.outputs["all"]
        loss = F.cross_entropy(output.logits, step.targets) + contrast(output.features)
        optimizer.zero_grad()
        step.backward(loss)
        optimizer.step()
        return loss


class Frozen(Baseline):
    """An adapter: only the top block and the head learn."""

    def backbone(self, context: MethodContext):
        backbone = super().backbone(context).requires_grad_(False)
        backbone.trunk.layer4.requires_grad_(True)
        return backbone


class Unfreezes(Frozen):
    def start(self, member: Member) -> None:
        member.backbone.requires_grad_(True)


class MovesStatistics(Frozen):
    """Its own loop runs the frozen blocks in training mode: their BatchNorm statistics drift, no weight does."""

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        (member,) = members
        learning = [weight for weight in member.module.parameters() if weight.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.01)
        nn.Module.train(member.backbone)
        for batch in context.batches(0, batch_size=64):
            optimizer.zero_grad()
            F.cross_entropy(member.module(batch.views[0]), batch.targets).backward()
            optimizer.step()


class PullsAllWeights(Frozen):
    """An update that shrinks every weight, frozen or not."""

    def start(self, member: Member) -> None:
        self.member = member

    def update(self, step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
        loss = super().update(step, optimizer)
        with torch.no_grad():
            for weight in self.member.module.parameters():
                weight.mul_(0.999)
        return loss


class Shifted(nn.Linear):
    """A fitted tensor as a plain attribute: it is in no state_dict."""

    shift: Tensor | float = 0.0

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.shift


class TensorBesideTheModule(Baseline):
    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return Shifted(num_features, num_classes)

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        super().fit(context, members)
        members[0].head.shift = context.classes.train_counts.double().log().float()  # type: ignore[assignment]


class HeadThatAsksItsMethod(nn.Linear):
    def __init__(self, method: "StateOnTheMethod", num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.method = [method]

    def forward(self, features: Tensor) -> Tensor:
        return self.method[0].scale * super().forward(features)


class StateOnTheMethod(Baseline):
    scale = 1.0

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return HeadThatAsksItsMethod(self, num_features, num_classes)

    def build(self, context: MethodContext) -> list[Member]:
        self.members = super().build(context)
        return self.members

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        super().fit(context, members)
        members[0].head.method[0].scale = 2.0  # type: ignore[index, union-attr]


class RemembersLosses(Baseline):
    """A running mean on the method's object weights the samples: a process that goes on with a killed run has none."""

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        self.mean = torch.ones(len(context.classes))
        super().fit(context, members)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        each = F.cross_entropy(logits, targets, reduction="none")
        if torch.is_grad_enabled() and logits.requires_grad:
            self.mean = self.mean.index_add(0, targets, 0.1 * each.detach())
        return (each * self.mean[targets]).mean()


@pytest.mark.parametrize(
    ("cls", "complaint"),
    [
        (BatchNormalised, "the logits of member 'all' for a val sample depend on the other samples of its batch"),
        (FirstOfBatch, "the logits of member 'all' for a val sample depend on the other samples of its batch"),
        (ViewsApartInLoss, "its loss depends on the places of the samples in their batch"),
        (ViewsApartInObjective, "its objective depends on the places of the samples in their batch"),
        (ViewsApartInUpdate, r"its update depends on the places .* Two views of an image: views=2, step.views$"),
        (Unfreezes, r"fit changes what build froze \(\d+ tensors, 'all.backbone.trunk.conv1.weight' first\)"),
        (MovesStatistics, r"fit changes what build froze \(\d+ tensors, 'all.backbone.trunk.bn1.running_mean' first\)"),
        (PullsAllWeights, r"fit changes what build froze \(\d+ tensors, 'all.backbone.trunk.conv1.weight' first\)"),
        (TensorBesideTheModule, "member 'all': built again and given the stored weights, it answers differently"),
        (StateOnTheMethod, "member 'all': built again and given the stored weights, it answers differently"),
        (RemembersLosses, "stopped and gone on with by a new process, its training ends otherwise"),
    ],
)
def test_what_went_unnoticed_is_found(cls: type[Baseline], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint) as caught:
        check_method(cls)
    assert cls.__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


class TwoViews(Baseline):
    """As it is meant: both views of an image on the process that has the image."""

    def views(self) -> Sequence[AugmentConfig]:
        return [self.context.augment.config] * 2

    def objective(self, step: Step) -> Tensor:
        one, other = (outputs["all"].features for outputs in step.view_outputs)
        return step.loss_of(self.loss) + F.cross_entropy(one @ other.T, torch.arange(len(one)))


class RemembersInKeep(RemembersLosses):
    """The same mean where a checkpoint finds it."""

    def start(self, member: Member) -> None:
        self.kept = nn.Module()
        self.kept.register_buffer("mean", torch.ones(len(self.context.classes)))

    def training(self) -> Training:
        return {**super().training(), "keep": {"kept": self.kept}}

    def objective(self, step: Step) -> Tensor:
        each = F.cross_entropy(step.outputs["all"].logits, step.targets, reduction="none")
        self.kept.mean = self.kept.mean.index_add(0, step.gather(step.targets), 0.1 * step.gather(each))
        return (each * self.kept.mean[step.targets]).mean()


class MixesByChance(Baseline):
    """Partners are drawn: another order has others, which is no dependence on places."""

    def objective(self, step: Step) -> Tensor:
        partner = torch.randperm(len(step.targets), generator=step.generator)
        mixed = step.forward(0.7 * step.images + 0.3 * step.images[partner])["all"].logits
        return 0.7 * F.cross_entropy(mixed, step.targets) + 0.3 * F.cross_entropy(mixed, step.targets[partner])


class LoadsThenFreezes(Frozen):
    """Frozen weights may be replaced before the training, as second stages do."""

    def start(self, member: Member) -> None:
        with torch.no_grad():
            for weight in member.backbone.parameters():
                weight.mul_(1.5)


class AsksWhereItStands(Baseline):
    """Looking at an objective changes nothing that it keeps, neither a generator nor a counter nor a buffer."""

    def objective(self, step: Step) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        assert self.calls == step.step + 1 or step.epoch
        return super().objective(step)


@pytest.mark.parametrize("cls", [TwoViews, RemembersInKeep, MixesByChance, Frozen, LoadsThenFreezes, AsksWhereItStands])
def test_what_is_right_passes(cls: type[Baseline]) -> None:
    check_method(cls)
