"""mixup: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; here as the first stage of MiSLAS.

x~ = lambda x_i + (1 - lambda) x_j and the loss lambda L(y_i) + (1 - lambda) L(y_j), lambda from Beta(alpha, alpha) (Eq. 1).
"""

from pydantic import Field

from ltbench.method import MixConfig, OneClassifier


class Mixup(OneClassifier):
    """Trained as the baseline, on mixed images; one lambda a batch, as in the authors' code."""

    class Config(OneClassifier.Config):
        alpha: float = Field(0.2, gt=0, description="lambda is drawn from Beta(alpha, alpha)")

    def mixing(self) -> MixConfig:
        return MixConfig(mixup=self.config.alpha)
