"""Classifiers that several methods share: features float[B, D] -> logits float[B, C]."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosineHead(nn.Module):
    """scale * cos(w_c, f): every logit lies within -scale and scale, whatever the features are.

    Args:
        scale: s.
        learn_scale: s is a parameter.

    Attributes:
        weight: w, float[C, D].
    """

    def __init__(self, num_features: int, num_classes: int, scale: float, learn_scale: bool = False) -> None:
        super().__init__()
        bound = 1 / math.sqrt(num_features)
        self.weight = nn.Parameter(torch.empty(num_classes, num_features).uniform_(-bound, bound))
        self.scale = nn.Parameter(torch.tensor(float(scale)), requires_grad=learn_scale)

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))


class ScaledHead(nn.Module):
    """s_c (w_c . f + b_c): a linear classifier with a learned scale for each class (Kang et al. 2020, Sec. 4).

    Args:
        learn_weights: w and b learn, too; without it the scales alone do.

    Attributes:
        linear: w and b.
        scales: s, float[C], from 1.
    """

    def __init__(self, num_features: int, num_classes: int, learn_weights: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, num_classes).requires_grad_(learn_weights)
        self.scales = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.scales * self.linear(features)
