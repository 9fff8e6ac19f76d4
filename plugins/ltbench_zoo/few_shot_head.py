"""The cosine classifier of FSLwF and its generator of weights (Gidaris & Komodakis, CVPR 2018, Sec. 3.1 and 3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench_zoo.heads import CosineHead


class FewShotHead(CosineHead):
    """s cos(w_c, z), and w* = phi_avg * mean z_i + phi_att * mean_i sum_b Att(phi_q z_i, k_b) w_b for novel classes (Eq. 6, 7).

    z_i and w_b are normalised; Att is a softmax over the base classes b of attention_scale cos(phi_q z_i, k_b).

    Attributes:
        phi_avg, phi_att: float[D], from 1.
        query: phi_q, D -> D, from the identity.
        keys: k, float[C, D].
        attention_scale: learned, as the scale of the classifier.
    """

    def __init__(self, num_features: int, num_classes: int, scale: float, attention_scale: float) -> None:
        super().__init__(num_features, num_classes, scale, learn_scale=True)
        self.phi_avg = nn.Parameter(torch.ones(num_features))
        self.phi_att = nn.Parameter(torch.ones(num_features))
        self.query = nn.Linear(num_features, num_features)
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        self.keys = nn.Parameter(torch.randn(num_classes, num_features) * (2 / num_features) ** 0.5)
        self.attention_scale = nn.Parameter(torch.tensor(float(attention_scale)))

    def let_generator_learn(self, learns: bool) -> None:
        """Stage 1 trains the classifier alone: what takes no part in a loss must not be among what learns."""
        for parameter in (self.phi_avg, self.phi_att, *self.query.parameters(), self.keys, self.attention_scale):
            parameter.requires_grad_(learns)

    def compare(self, features: Tensor, weight: Tensor) -> Tensor:
        """Logits float[B, C] with other weights float[C, D]."""
        return self.scale * F.linear(F.normalize(features), F.normalize(weight))

    def generate(self, features: Tensor, targets: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        """Weights float[N, D] of the classes int64[N] that ``targets`` names, both from their exemplars.

        Args:
            features: float[M, D].
            targets: int64[M].
            base: bool[C], the classes that the attention looks at.
        """
        classes, own = targets.unique(return_inverse=True)
        exemplars = F.normalize(features)
        similarity = F.linear(F.normalize(self.query(exemplars)), F.normalize(self.keys[base]))
        attended = (self.attention_scale * similarity).softmax(dim=1) @ F.normalize(self.weight[base])
        of_class = F.one_hot(own, len(classes)).to(features).T
        of_class = of_class / of_class.sum(dim=1, keepdim=True)
        return self.phi_avg * (of_class @ exemplars) + self.phi_att * (of_class @ attended), classes
