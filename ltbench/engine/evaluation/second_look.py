"""What a fuser says of a row must not depend on the rows beside it: a few are asked about again, among others and alone.

See :mod:`ltbench.engine.evaluation.independence`, which asks members likewise.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ltbench.engine.evaluation.order import changed_predictions, drawn_order

if TYPE_CHECKING:
    from ltbench.fuser import Fuser
    from ltbench.members import MemberLogits

ROWS = 256
"""Rows of the test logits that a fuser is given again."""

TOLERANCE = 1e-3
"""Largest difference of probabilities that they may get, as in :mod:`ltbench.testing`; a fuser computes in float32 or
better."""

SHARE = 0.01
"""Largest share of these rows whose prediction may differ: with many classes, all probabilities may be small."""


class SecondLook:
    """The posterior of a few drawn rows, once among each other and once alone, to compare with that of all rows.

    It is taken before the fuser sees all rows at once: what it could remember of them does not help.

    Args:
        members: float[N, ...] logits of the rows that the fuser will be given.
    """

    def __init__(self, fuser: "Fuser", members: Sequence["MemberLogits"], fingerprint: str) -> None:
        samples = len(members[0])
        self.chosen = drawn_order(fingerprint, "rows, asked again", samples)[: max(1, min(ROWS, samples // 2))]
        self.posteriors = [
            fuser.log_posterior([member.take(rows) for member in members]) for rows in (self.chosen, self.chosen[:1])
        ]

    def agrees(self, log_posterior: Tensor) -> bool:
        """Whether these rows of ``log_posterior`` float32[N, C] say the same."""
        return all(self._same(found, log_posterior[self.chosen[: len(found)]]) for found in self.posteriors)

    @staticmethod
    def _same(found: Tensor, expected: Tensor) -> bool:
        if found.shape != expected.shape:
            return False
        difference = (found.double().exp() - expected.double().exp()).abs().max()
        return bool(difference <= TOLERANCE) and changed_predictions(found, expected) <= SHARE
