"""Feature resampling: a control of ``gan``, real features of rare classes repeated."""

import torch
from torch import Tensor

from ltbench.method import Member, MethodContext
from ltbench_methods.synthetic import SyntheticFeatures


class Resampled(SyntheticFeatures):
    """Random oversampling of Medium- and Few-shot classes, with replacement."""

    def synthesise(self, context: MethodContext, baseline: Member, features: Tensor, labels: Tensor) -> Tensor:
        real, generator = context.train_split.labels, context.generator("draws")
        counts = torch.bincount(real, minlength=len(context.classes))
        by_class, first = torch.argsort(real, stable=True), counts.cumsum(0) - counts
        # Far more values than any class has samples: the remainder is uniform.
        drawn = torch.randint(2**62, (len(labels),), generator=generator) % counts[labels]
        return features[:, by_class[first[labels] + drawn]]
