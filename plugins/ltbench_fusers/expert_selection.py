"""Expert selection (Sec. 3.3.3): a classifier predicts, from the partial posteriors, which expert's subset holds the sample's
class; "the full posterior q(x) is then given by g(E(x)) for the predicted expert".
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import expert_of_class, fuse_in_chunks, log_g, log_softmax
from ltbench_fusers.calibration import L2Config, PosteriorClassifier, Strength, fit_with_l2


class ExpertSelection(Fuser):
    """g of the one expert that a linear softmax classifier chooses. Needs experts whose subsets are disjoint (else DataError)."""

    class Config(L2Config):
        l2_grid: tuple[Strength, ...] = Field(
            (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5), min_length=1, description="l2 = auto: strengths to choose from"
        )

    def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
        holder = expert_of_class(members, self.num_classes)[labels]
        self._classifier = PosteriorClassifier(members, len(members))
        self._found = fit_with_l2(
            self._classifier.objective(members, holder), self._classifier.start, labels, self.config
        )

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(members, self.num_classes, self._of_chosen)

    def _of_chosen(self, members: list[MemberLogits]) -> Tensor:
        chosen = self._classifier.log_probabilities(self._found.parameters, members).argmax(dim=1)
        log_q = torch.empty(len(chosen), self.num_classes, dtype=torch.float64)
        for number, member in enumerate(members):
            rows = chosen == number
            log_q[rows] = log_g(log_softmax(member.logits[rows]), member, self.num_classes)
        return log_q

    def state(self) -> dict[str, Any]:
        """``l2``, and the norm of the classifier's weights and biases."""
        return {**self._found.summary(), "weight_norm": float(self._found.parameters.norm())}
