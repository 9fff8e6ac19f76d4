"""Which members of an ensemble are experts, and which of them have the most and the least frequent classes."""

from collections.abc import Sequence

import numpy as np

from ltbench.errors import DataError
from ltbench.fuser import MemberLogits


def experts_by_method(members: Sequence[MemberLogits]) -> dict[str, list[MemberLogits]]:
    """Method -> its members that cover only a part of the classes; methods without such members are left out."""
    found: dict[str, list[MemberLogits]] = {}
    for member in members:
        if member.outside != "none":
            found.setdefault(member.method, []).append(member)
    return found


def head_and_tail(experts: Sequence[MemberLogits], train_counts: np.ndarray) -> tuple[MemberLogits, MemberLogits]:
    """The experts whose classes have the most and the fewest training images on average: E_many and E_few of the paper.

    Raises:
        DataError: there are fewer than two experts.
    """
    if len(experts) < 2:
        raise DataError(f"this compares two experts, and there are {len(experts)}.")
    ordered = sorted(experts, key=lambda expert: -float(np.asarray(train_counts)[expert.classes.numpy()].mean()))
    return ordered[0], ordered[-1]
