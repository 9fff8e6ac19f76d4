"""Gaussian feature augmentation: a control of ``gan``, class means plus noise of one shape for all classes."""

import torch
from torch import Tensor

from ltbench.method import Member, MethodContext
from ltbench_methods.synthetic import SyntheticFeatures


class Gaussian(SyntheticFeatures):
    """x = mean of the class + e, e ~ N(0, S) with the within-class covariance S pooled over all classes."""

    def synthesise(self, context: MethodContext, baseline: Member, features: Tensor, labels: Tensor) -> Tensor:
        means, covariance = pooled_gaussian(features, context.train_split.labels, len(context.classes))
        # Not Cholesky: units that never fire make the covariance singular.
        variances, axes = torch.linalg.eigh(covariance)
        noise = torch.randn(len(features), len(labels), features.shape[2], generator=context.generator("noise"))
        return means[labels] + noise * variances.clamp(min=0).sqrt() @ axes.T


def pooled_gaussian(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Class means and the within-class covariance, over all views.

    Args:
        features: float[V, N, D].
        labels: int64[N].

    Returns:
        Means float[C, D], zero for a class without samples, and the covariance float[D, D], divided by V N.
    """
    views, _, width = features.shape
    counts = torch.bincount(labels, minlength=num_classes).clamp(min=1)
    means = torch.zeros(num_classes, width).index_add_(0, labels, features.mean(dim=0)) / counts[:, None]
    covariance = torch.zeros(width, width)
    for view in features:
        centred = view - means[labels]
        covariance += centred.T @ centred
    return means, covariance / (views * len(labels))
