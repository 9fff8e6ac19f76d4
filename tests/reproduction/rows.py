"""Hand-made rows: six classes of 20 test samples, two a fold, with a given share right on each class."""

from collections.abc import Mapping, Sequence

import numpy as np
from results.records import LABELS, TRAIN_COUNTS, record

from ltbench.reproduction.outcomes import Data, Outcomes, of_records

DATA = Data(np.array(TRAIN_COUNTS), np.sort(LABELS), "paper")

Shares = float | Sequence[float]


def rows(shares: Mapping[str, Shares], seeds: Sequence[int] = (0, 1)) -> dict[str, Outcomes]:
    """Row id -> outcomes with this accuracy on each class, the same for all seeds."""
    return {
        name: of_records([record(accuracy=accuracy, seed=seed) for seed in seeds]) for name, accuracy in shares.items()
    }
