"""What losses know of the classes: weights and log frequencies."""

from torch import Tensor


def class_balanced(counts: Tensor, beta: float) -> Tensor:
    """(1 - beta) / (1 - beta^n_c), scaled to a sum of C (Cui et al., CVPR 2019, Eq. 4 and Sec. 3.4): float32[C].

    Args:
        counts: n, int64[C]. A class without training image gets weight 0.
        beta: in [0, 1): 0 weighs all classes alike, towards 1 by the inverse of their counts.
    """
    exact = counts.double()
    weights = ((1 - beta) / (1 - beta**exact)).where(exact > 0, 0.0)
    return (weights * (len(counts) / weights.sum())).float()


def log_frequencies(counts: Tensor) -> Tensor:
    """log pi_c, pi_c = n_c / sum n: float32[C] of counts int64[C]; 1e-9 more, so that a class without image has a logarithm."""
    exact = counts.double()
    return (exact / exact.sum() + 1e-9).log().float()
