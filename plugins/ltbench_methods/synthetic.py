"""Feature augmentation: Medium- and Few-shot classes are filled up with synthetic features (Sec. 4.4 iv).

``gan`` draws them from a generative model. ``resampled`` and ``gaussian`` are its controls: all else is equal.
"""

from abc import abstractmethod

import torch
from pydantic import Field
from torch import Tensor

from ltbench.data.samplers import EpochSampler, InstanceSampler
from ltbench.errors import UsageError
from ltbench.method import Classes, Member, MethodContext
from ltbench_methods.feature_figure import draw_features
from ltbench_methods.uniform import Uniform

AUGMENTED_FOLDS = ("medium", "few")


class SyntheticFeatures(Uniform):
    """A softmax classifier on real and synthetic features together; a subclass says how they are made."""

    class Config(Uniform.Config):
        target: int = Field(
            default=500, ge=1, description="synthetic features are added until a Medium- or Few-shot class has so many"
        )

    def training_set(self, context: MethodContext, baseline: Member, features: Tensor) -> tuple[Tensor, Tensor]:
        labels = missing_labels(context.classes, self.config.target)
        synthetic = self.synthesise(context, baseline, features, labels)
        context.log(real=features.shape[1], synthetic=len(labels))
        path = context.artifact("features.png")
        if path is not None:
            draw_features(path, features[0], context.train_split.labels, synthetic[0], labels, context.classes.names)
        return torch.cat([features, synthetic], dim=1), torch.cat([context.train_split.labels, labels])

    @abstractmethod
    def synthesise(self, context: MethodContext, baseline: Member, features: Tensor, labels: Tensor) -> Tensor:
        """One synthetic feature for each of ``labels`` in each view.

        Args:
            features: float[V, N, D], the training split's.
            labels: int64[S], classes that have at least one training image.

        Returns:
            float[V, S, D]
        """

    def sampler(self, labels: Tensor) -> EpochSampler:
        """Real and synthetic samples, each once an epoch."""
        return InstanceSampler(len(labels))


def missing_labels(classes: Classes, target: int) -> Tensor:
    """What each Medium- and Few-shot class lacks to have ``target`` samples: its id as often, int64[S], ascending.

    A class without any training image stays empty.

    Raises:
        UsageError: no class lacks anything.
    """
    counts = classes.train_counts
    missing = torch.zeros_like(counts)
    for fold in AUGMENTED_FOLDS:
        ids = classes.folds[fold]
        missing[ids] = (target - counts[ids]).clamp(min=0)
    missing[counts == 0] = 0
    if not missing.any():
        raise UsageError(f"target = {target}: every Medium- and Few-shot class has as many training images; raise it.")
    return torch.arange(len(counts)).repeat_interleave(missing)
