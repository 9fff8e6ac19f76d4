"""Confidence histograms (Sec. 4.6, Figure 5): how sure one expert is where another one is right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import DataError
from ltbench.fuser import MemberLogits
from ltbench.posterior import log_softmax


@dataclass(frozen=True)
class ConfidenceHistograms:
    """Maximum softmax probability of two experts on the same samples.

    Attributes:
        edges: float[bins + 1], bin edges from 0 to 1; a bin holds its lower edge, the last one both.
        counts: expert -> int[bins], samples in each bin.
        mean: expert -> mean of its maximum probability.
        samples: how many samples there are: those of the first expert's classes that it classifies correctly.
        of: how many samples its classes have.
    """

    edges: list[float]
    counts: dict[str, list[int]]
    mean: dict[str, float]
    samples: int
    of: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "edges": self.edges,
            "counts": self.counts,
            "mean": self.mean,
            "samples": self.samples,
            "of": self.of,
        }


def confidence_histograms(many: MemberLogits, few: MemberLogits, labels: Any, bins: int = 20) -> ConfidenceHistograms:
    """Histograms of the confidence of ``many`` and ``few`` on the samples of ``many``'s classes that it classifies correctly.

    Confidence is the largest probability that an expert gives to one of its own classes. The reject class takes its share
    of the softmax but is not an answer: a few-shot expert that rejects with certainty has confidence near 0. ``many`` is
    correct where the true class is the largest of all its logits, the reject one included. ``labels`` int64[N].

    Raises:
        DataError: the numbers of samples differ, or ``many`` classifies no sample correctly.
    """
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.int64)
    if not len(many) == len(few) == len(labels):
        raise DataError(
            f"'{many.name}' has {len(many)} samples, '{few.name}' {len(few)}, and there are {len(labels)} labels."
        )
    held = torch.isin(labels, many.classes)
    best = many.logits.argmax(dim=1)
    answer = torch.cat([many.classes, torch.tensor([-1])])
    rows = held & (answer[best] == labels)
    if not rows.any():
        raise DataError(
            f"'{many.name}' classifies none of its {int(held.sum())} samples correctly: no confidence to show."
        )
    edges = np.linspace(0.0, 1.0, bins + 1)
    confidence = {member.name: _confidence(member, rows) for member in (many, few)}
    return ConfidenceHistograms(
        edges=edges.tolist(),
        counts={name: np.histogram(values, bins=edges)[0].tolist() for name, values in confidence.items()},
        mean={name: float(values.mean()) for name, values in confidence.items()},
        samples=int(rows.sum()),
        of=int(held.sum()),
    )


def _confidence(member: MemberLogits, rows: Tensor) -> np.ndarray:
    """float64[M] for the samples where ``rows`` bool[N] holds."""
    log_p = log_softmax(member.logits[rows])
    return log_p[:, : len(member.classes)].amax(dim=1).exp().clamp(max=1).numpy()
