"""What fusers are given: the logits of members, checked.

Notation (paper, Sec. 3.3): member E covers the classes S_E, K_E of them, out of C. ``outside`` says what a partial member
knows about the classes it does not cover:

* ``"none"``: it covers every class; K = C;
* ``"reject"``: K + 1 logits, the last one for "some class outside S_E" (Sec. 3.2.1);
* ``"zero"``: K logits; trained to be uniform on outside samples (outlier exposure, Sec. 3.2.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import DataError

__all__ = ["MemberLogits", "Outside", "check_members"]

Outside = Literal["none", "reject", "zero"]
"""What a member says about classes that it does not cover."""


@dataclass(frozen=True)
class MemberLogits:
    """The logits of one member for N samples. Arrays of any kind are taken (numpy, lists, torch).

    Attributes:
        name: unique among the members fused together, e.g. ``experts/many``.
        method: the method it belongs to; soft voting gives one vote to each method.
        classes: int64[K], ascending dataset class ids that the first K logits stand for.
        outside: see the module's text.
        logits: float32[N, K], or float32[N, K + 1] with the reject logit last when ``outside == "reject"``.

    Raises:
        DataError: shapes, ids or values cannot be right (wrong width, unsorted or repeated ids, NaN or infinity).
    """

    name: str
    method: str
    classes: Tensor
    outside: Outside
    logits: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        where = f"member '{self.name}'"
        if self.outside not in ("none", "reject", "zero"):
            raise DataError(f"{where}: outside is {self.outside!r}; use 'none', 'reject' or 'zero'.")
        classes = torch.as_tensor(np.asarray(self.classes), dtype=torch.int64)
        logits = _as_float32(self.logits)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "logits", logits)
        if classes.ndim != 1 or not len(classes):
            raise DataError(
                f"{where}: classes must be a non-empty list of class ids, got shape {tuple(classes.shape)}."
            )
        if classes[0] < 0 or (classes.diff() <= 0).any():
            raise DataError(f"{where}: class ids must be ascending, distinct and not negative.")
        width = len(classes) + (self.outside == "reject")
        if logits.ndim != 2 or logits.shape[1] != width:
            raise DataError(
                f"{where}: logits have shape {tuple(logits.shape)}, expected [N, {width}] "
                f"({len(classes)} classes{', and the reject logit last' if self.outside == 'reject' else ''})."
            )
        # The extremes, not isfinite: that one makes a mask and twice the memory.
        if logits.numel() and not torch.isfinite(torch.stack(torch.aminmax(logits))).all():
            raise DataError(f"{where}: logits hold NaN or infinity; check how they were computed.")

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, indices: Tensor | slice) -> "MemberLogits":
        """The same member for the samples at ``indices``: int64[M] positions, bool[N] or a slice."""
        return MemberLogits(self.name, self.method, self.classes, self.outside, self.logits[indices])


def _as_float32(values: Any) -> Tensor:
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    return tensor.detach().to(torch.float32)


def check_members(members: Sequence[MemberLogits], num_classes: int, labels: Tensor | None = None) -> None:
    """Whether they can be fused: same N, ids and ``labels`` int64[N] below ``num_classes``, every class covered.

    Raises:
        DataError: what is wrong, and with which member.
    """
    if not members:
        raise DataError("nothing to fuse: no members were given.")
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise DataError(f"member names must be distinct, got {', '.join(names)}.")
    first = members[0]
    covered = torch.zeros(num_classes, dtype=torch.bool)
    for member in members:
        if len(member) != len(first):
            raise DataError(f"member '{member.name}' has {len(member)} samples, '{first.name}' has {len(first)}.")
        if int(member.classes[-1]) >= num_classes:
            raise DataError(
                f"member '{member.name}': class id {int(member.classes[-1])} with only {num_classes} classes."
            )
        if member.outside == "none" and len(member.classes) != num_classes:
            raise DataError(
                f"member '{member.name}' covers {len(member.classes)} of {num_classes} classes but says outside='none'; "
                "a partial member says 'reject' or 'zero'."
            )
        if member.outside == "reject" and len(member.classes) == num_classes:
            raise DataError(
                f"member '{member.name}' covers every class, so its reject logit stands for none: drop it and say outside='none'."
            )
        covered[member.classes] = True
    if not covered.all():
        missing = (~covered).nonzero().flatten().tolist()
        raise DataError(
            f"no member covers class {missing[0]}" + (f" and {len(missing) - 1} more." if missing[1:] else ".")
        )
    if labels is not None:
        if len(labels) != len(first):
            raise DataError(f"{len(labels)} labels for {len(first)} samples.")
        if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < num_classes):
            raise DataError(f"labels must lie in 0..{num_classes - 1}, got {int(labels.min())}..{int(labels.max())}.")
