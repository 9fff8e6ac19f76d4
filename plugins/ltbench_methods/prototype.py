"""Prototype: features enriched from a memory of class centroids (Sec. 4.4 v; Liu et al., CVPR 2019, closed set).

"Liu et al." below is that paper, and its authors' code where the two differ or the paper is silent.
"""

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbones.backbone import Backbone
from ltbench.data.samplers import ClassAwareSampler
from ltbench.errors import UsageError
from ltbench.method import Member, Method, MethodConfig, MethodContext
from ltbench.training.optim import OptimConfig

REACHABILITY_SCALE = 10.0
COSINE_SCALE = 16.0
REPEL_MARGIN = 10.0
REPEL_WEIGHT = 0.01

MIN_DISTANCE = 1e-3
"""A feature on a centroid counts as this far away: 1 / distance and its gradient stay within what float32 resolves."""


class Prototype(Method):
    """Stage 2 of Liu et al.; stage 1 is the baseline. By default the head alone learns, on cached features."""

    class Config(MethodConfig):
        optim: OptimConfig = Field(
            default=OptimConfig(epochs=60, lr=0.1, schedule="step", step_epochs=20),
            description="how it is trained; lr is the head's",
        )
        samples_per_class: int = Field(default=4, ge=1, description="samples of each class in a class-aware batch")
        learnable_blocks: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
            default=1, description="blocks that learn, counted from the head down (1: the head alone)"
        )
        views: int = Field(
            default=5, ge=1, description="of each image for the head alone: the plain one and augmented ones, cached"
        )
        backbone_lr: float = Field(default=0.01, gt=0, description="learning rate of the blocks below the head")
        centroid_lr: float = Field(default=0.01, gt=0, description="learning rate of the centroids")
        centroid_weight: float = Field(default=0.01, ge=0, description="of the centroid loss; 0: the centroids stay")
        memory: bool = Field(default=True, description="add the memory feature to the feature")
        reachability: bool = Field(default=True, description="scale by 1/gamma; without it gamma = 1")
        attention: bool = Field(
            default=False, description="modulated attention after the last stage: one more block below the head"
        )

    def build(self, context: MethodContext) -> list[Member]:
        backbone, config = context.new_backbone(), self.config
        if config.attention:
            _attend(backbone, config.learnable_blocks)
        head = MemoryClassifier(backbone.num_features, len(context.classes), config.memory, config.reachability)
        return [Member("all", torch.arange(len(context.classes)), backbone, head)]

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        (baseline,), (member,), config = context.stage("baseline"), members, self.config
        head, labels, frozen = member.head, context.train_split.labels, config.learnable_blocks == 1
        assert isinstance(head, MemoryClassifier)
        # The baseline has no attention; that keeps its own weights.
        member.backbone.load_state_dict({**member.backbone.state_dict(), **baseline.backbone.state_dict()})
        views = context.features(baseline.backbone, "train", config.views if frozen else 1)
        head.start_from(baseline.head, class_means(views[0], labels, len(context.classes)))
        head.centroids.requires_grad_(config.centroid_weight > 0)

        def loss(logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
            return F.cross_entropy(logits, targets) + config.centroid_weight * head.centroid_loss(features, targets)

        result = context.train(
            member,
            optim=config.optim,
            sampler=ClassAwareSampler(labels, config.optim.batch_size, config.samples_per_class),
            loss=loss,
            learnable_blocks=None if config.learnable_blocks == "all" else config.learnable_blocks,
            features=views if frozen else None,
            parameter_groups=self._parameter_groups(member, head),
        )
        context.log(member=member.name, best_epoch=result.best_epoch, best_accuracy=result.best_accuracy)

    def _parameter_groups(self, member: Member, head: "MemoryClassifier") -> list[dict[str, Any]]:
        """Head, centroids and backbone, each with its own learning rate."""
        others = [parameter for name, parameter in head.named_parameters() if name != "centroids"]
        return [
            {"params": others},
            # No weight decay: centroids are places among the features, and it would outweigh their small gradients.
            {"params": [head.centroids], "lr": self.config.centroid_lr, "weight_decay": 0.0},
            {"params": list(member.backbone.parameters()), "lr": self.config.backbone_lr},
        ]


class MemoryClassifier(nn.Module):
    """Features v float[B, D] -> logits float[B, C], by dynamic meta-embedding and a cosine classifier (Liu et al.).

    v* = (1/gamma) (v + tanh(T v) * (softmax(H v) M)),   1/gamma = 10 / min_c ||v - M_c||,
    logits = 16 (||v*|| / (1 + ||v*||)) (v* / ||v*||) . (w / ||w||).

    M learns from :meth:`centroid_loss` alone; the logits see its value and pass no gradient to it.

    Attributes:
        centroids: M, float[C, D].
        hallucinator: H, D -> C; only with ``memory``.
        selector: T, D -> D; only with ``memory``.
        weight: w, float[C, D].
    """

    def __init__(self, num_features: int, num_classes: int, memory: bool = True, reachability: bool = True) -> None:
        super().__init__()
        self.memory, self.reachability = memory, reachability
        self.centroids = nn.Parameter(torch.zeros(num_classes, num_features))
        if memory:
            self.hallucinator = nn.Linear(num_features, num_classes)
            self.selector = nn.Linear(num_features, num_features)
        bound = 1 / math.sqrt(num_features)
        self.weight = nn.Parameter(torch.empty(num_classes, num_features).uniform_(-bound, bound))

    @torch.no_grad()
    def start_from(self, classifier: nn.Module, means: Tensor) -> None:
        """H from the baseline's linear ``classifier``, M from the training means float[C, D]."""
        self.centroids.copy_(means)
        if self.memory:
            self.hallucinator.load_state_dict(classifier.state_dict())

    def forward(self, features: Tensor) -> Tensor:
        # Half precision would lose the distance to a near centroid and overflow in v*.
        with torch.autocast(features.device.type, enabled=False):
            enhanced = self.enhance(features.float())
            squashed = enhanced / (1 + torch.linalg.vector_norm(enhanced, dim=1, keepdim=True))
            return COSINE_SCALE * squashed @ F.normalize(self.weight).T

    def enhance(self, features: Tensor) -> Tensor:
        """v -> v*, float32[B, D]."""
        centroids, enhanced = self.centroids.detach(), features
        if self.memory:
            memory_feature = self.hallucinator(features).softmax(dim=1) @ centroids
            enhanced = features + self.selector(features).tanh() * memory_feature
        if self.reachability:
            enhanced = enhanced * (REACHABILITY_SCALE / _distance_to_nearest(features, centroids))
        return enhanced

    def centroid_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """0.5 ||f - M_y||^2 / B + 0.01 max(0, 10 - mean of squared distances to the other centroids): a scalar.

        Args:
            features: f, float[B, D].
            targets: y, int64[B].
        """
        features, count = features.float(), len(self.centroids)
        to_own = (features - self.centroids[targets]).square().sum(dim=1)
        # The sum over c of ||f - M_c||^2, multiplied out, so that no [B, C] distances are held.
        to_all = (
            count * features.square().sum(dim=1)
            - 2 * features @ self.centroids.sum(dim=0)
            + self.centroids.square().sum()
        )
        to_others = (to_all - to_own) / (count - 1)
        return 0.5 * to_own.mean() + REPEL_WEIGHT * F.relu(REPEL_MARGIN - to_others.mean())


class ModulatedAttention(nn.Module):
    """f + MA(f) * SA(f) over the positions of a feature map (Liu et al.): float[B, D, H, W] -> the same shape.

    SA is non-local self-attention, MA a softmax over the positions. The last layer of SA starts at 0: at first the map
    is unchanged. MA scores each position from its own features, for maps of any size; the authors' code uses one fully
    connected layer over a map of 7 x 7.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.query, self.key, self.value = (nn.Linear(channels, inner) for _ in range(3))
        self.out = nn.Linear(inner, channels, bias=False)
        self.score = nn.Linear(channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, maps: Tensor) -> Tensor:
        positions = maps.flatten(2).transpose(1, 2)
        query, key, value = self.query(positions), self.key(positions), self.value(positions)
        attended = self.out(F.scaled_dot_product_attention(query, key, value, scale=1.0))
        modulated = positions + self.score(positions).softmax(dim=1) * attended
        return modulated.transpose(1, 2).reshape(maps.shape)


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean of the features float[N, D] of each class: float[C, D]; 0 for a class without samples."""
    sums = torch.zeros(num_classes, features.shape[1]).index_add_(0, labels, features)
    return sums / torch.bincount(labels, minlength=num_classes).clamp(min=1)[:, None]


def _distance_to_nearest(features: Tensor, centroids: Tensor) -> Tensor:
    """min_c ||v - M_c||, at least MIN_DISTANCE: float[B, 1] from float[B, D] and float[C, D]."""
    with torch.no_grad():  # Squared distances up to ||v||^2, which is the same for every c.
        nearest = torch.addmm(centroids.square().sum(dim=1), features, centroids.T, alpha=-2).argmin(dim=1)
    squared = (features - centroids[nearest]).square().sum(dim=1, keepdim=True)
    return squared.clamp(min=MIN_DISTANCE**2).sqrt()


def _attend(backbone: Backbone, learnable_blocks: int | Literal["all"]) -> None:
    """Put attention between the last stage and the pooling of a backbone, as its topmost block below any projection.

    Raises:
        UsageError: the backbone pools otherwise, or the attention would not be among the learnable blocks.
    """
    pool = getattr(backbone.trunk, "global_pool", None)
    if not isinstance(pool, nn.Module):
        raise UsageError(
            f"prototype.attention = true: a {type(backbone.trunk).__name__} has no layer 'global_pool' that pools its "
            "last feature map; use a ResNet, or leave the attention out."
        )
    needed = 2 if backbone.projection is None else 3
    if learnable_blocks != "all" and learnable_blocks < needed:
        raise UsageError(
            f"prototype.attention = true: with prototype.learnable_blocks = {learnable_blocks} the attention would not "
            f"learn; use {needed} or more, or 'all'."
        )
    attention = ModulatedAttention(int(backbone.trunk.num_features))  # type: ignore[arg-type]
    # timm counts the weights that its group_matcher does not name as the topmost block.
    backbone.trunk.global_pool = nn.Sequential(attention, pool)
