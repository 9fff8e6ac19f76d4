"""Model stacking (Sec. 3.3.4): "a single layer linear softmax classifier to predict the full posterior q(x) from the partial
posterior vectors", which "are concatenated to form a feature embedding", trained by cross entropy on the validation split.

It learns C weights for each entry of the posteriors: some hundred million of them at 8,142 classes, so this one is for
datasets of a thousand classes or so.
"""

from typing import Any

from pydantic import Field
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits
from ltbench.posterior import fuse_in_chunks
from ltbench_fusers.calibration import L2Config, PosteriorClassifier, Strength, fit_with_l2


class Stacking(Fuser):
    """q = softmax(W [p_1; p_2; ...] + b), with L2 on W and b."""

    class Config(L2Config):
        l2_grid: tuple[Strength, ...] = Field(
            (3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6), min_length=1, description="l2 = auto: strengths to choose from"
        )
        folds: int = Field(3, ge=2, description="l2 = auto: folds of the cross-validation, spread over the classes")

    def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
        self._classifier = PosteriorClassifier(members, self.num_classes)
        self._found = fit_with_l2(
            self._classifier.objective(members, labels), self._classifier.start, labels, self.config
        )

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        return fuse_in_chunks(
            members, self.num_classes, lambda chunk: self._classifier.log_probabilities(self._found.parameters, chunk)
        )

    def state(self) -> dict[str, Any]:
        """``l2``, and the norm of the weights and biases; there are too many to list."""
        return {**self._found.summary(), "weight_norm": float(self._found.parameters.norm())}
