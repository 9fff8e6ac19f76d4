"""FSLwF: Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting", CVPR 2018.

Base classes are the Many- and Medium-shot ones, novel classes the Few-shot ones of the run's fold rule. Stage 1 trains the
network and a cosine classifier of the base classes (Sec. 3.1), stage 2 the generator of weights for novel ones on its frozen
features, in episodes that take some base classes for novel (Sec. 3.3); at last it makes the Few-shot classes' weights.
"""

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.data.samplers import ClassAwareSampler, EpochSampler, SubsetSampler
from ltbench.errors import UsageError
from ltbench.method import Member, MethodContext, OneClassifier, Training, Validation
from ltbench.training.optim import OptimConfig
from ltbench.training.step import Step
from ltbench_zoo.few_shot_head import FewShotHead


class FSLwF(OneClassifier):
    """Both stages are this method's own; the network never sees a Few-shot image."""

    class Config(OneClassifier.Config):
        episodes: OptimConfig = Field(
            OptimConfig(epochs=6, batch_size=256, lr=0.1, nesterov=True), description="how the generator is trained"
        )
        views: int = Field(5, ge=1, description="views of each image in the second stage")
        samples_per_class: int = Field(8, ge=2, description="of each class in an episode: exemplars and queries")
        exemplars: int = Field(5, ge=1, description="images from which the weights of a novel class are made")
        scale: float = Field(10.0, gt=0, description="what cosines are multiplied by; learned")
        attention_scale: float = Field(30.0, gt=0, description="the same within the attention; learned")

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return FewShotHead(num_features, num_classes, self.config.scale, self.config.attention_scale)

    def fit(self, context: MethodContext, members: list[Member]) -> None:
        self.is_base = torch.ones(len(context.classes), dtype=torch.bool)
        self.is_base[context.classes.folds["few"]] = False
        if not self.is_base.any():
            raise UsageError("fslwf needs classes that are not Few-shot: its base classes.")
        (member,) = members
        self.classifier = cast(FewShotHead, member.head)
        self.classifier.let_generator_learn(False)
        super().fit(context, members)
        self.classifier.let_generator_learn(True)
        features = context.features(member.backbone, "train", self.config.views)
        self.train_generator(member, features)
        self.make_novel(features[0], context.train_split.labels)

    def sampler(self, context: MethodContext) -> EpochSampler:
        return SubsetSampler(self.base_positions(context.train_split.labels))

    def training(self) -> Training:
        labels = self.context.val_split.labels
        positions = self.base_positions(labels)
        return {**super().training(), "validation": Validation(positions, labels[positions])}

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy among the base classes."""
        return F.cross_entropy(logits.masked_fill(~self.is_base.to(logits.device), -torch.inf), targets)

    def episode(self, step: Step) -> Tensor:
        """Half of the classes of a batch are taken for novel: their exemplars make their weights, all others are queries."""
        features, targets = step.gather(step.images), step.gather(step.targets)
        numbers = step.gather(step.indices.to(targets.device))
        present = targets.unique()
        novel = present[torch.randperm(len(present), generator=step.generator).to(present.device)[: len(present) // 2]]
        earlier = (targets[:, None] == targets).tril(diagonal=-1).sum(dim=1)
        shown = torch.isin(targets, novel) & (earlier < self.config.exemplars)
        weight = self.classifier.weight.clone()
        if shown.any():
            base = self.is_base.to(targets.device).index_fill(0, novel, False)
            made, classes = self.classifier.generate(features[shown], targets[shown], base)
            weight = weight.index_put((classes,), made)
        asked = ~torch.isin(step.indices.to(targets.device), numbers[shown])
        if not asked.any():
            return weight.sum() * 0.0
        # The mean over the queries of the whole batch, of which this process may have more or fewer than others.
        share = asked.float().mean() / (~torch.isin(numbers, numbers[shown])).float().mean()
        return share * self.loss(self.classifier.compare(step.images[asked], weight), step.targets[asked])

    def train_generator(self, member: Member, features: Tensor) -> None:
        """Stage 2, on features float[V, N, D] of the training split."""
        labels, config = self.context.train_split.labels, self.config
        positions = self.base_positions(labels)
        self.context.train(
            member,
            optim=config.episodes,
            objective=self.episode,
            sampler=ClassAwareSampler(labels[positions], config.episodes.batch_size, config.samples_per_class),
            features=features[:, positions],
            labels=labels[positions],
            validation=self.training()["validation"],
            label="episodes",
        )

    @torch.no_grad()
    def make_novel(self, features: Tensor, labels: Tensor) -> None:
        """The weights of the Few-shot classes from all their training images, features float[N, D]."""
        exemplars, weight = ~self.is_base[labels], self.classifier.weight.data
        if exemplars.any():
            shown, targets = features[exemplars].to(weight.device), labels[exemplars].to(weight.device)
            made, classes = self.classifier.generate(shown, targets, self.is_base.to(weight.device))
            weight[classes] = made

    def base_positions(self, labels: Tensor) -> Tensor:
        """Positions int64[M] of the samples of base classes."""
        return self.is_base[labels].nonzero().flatten()
