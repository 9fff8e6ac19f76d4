"""The contract of a fuser: members' logits in, one full posterior out.

Notation (paper, Sec. 3.3): as in :mod:`ltbench.members`; z_E are the logits of member E, p_E their softmax, r_E is the
probability of the reject class.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ltbench.classes import Classes
from ltbench.errors import DataError, UsageError
from ltbench.members import MemberLogits, Outside, check_members

__all__ = ["FittedOn", "Fuser", "FuserConfig", "MemberLogits", "Outside", "check_members"]

FittedOn = Literal["nothing", "val"]
"""What a fuser learns from: nothing at all, or validation labels."""


class FuserConfig(BaseModel):
    """Base of every fuser's hyperparameters: typed, unknown keys refused, each field with a description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Fuser(ABC):
    """Turns the logits of one or more members into log q, a full posterior over ``num_classes`` classes.

    ``fit`` sees the validation split and nothing else; a fuser that learns nothing leaves it as it is. ``log_posterior``
    must accept members in the order and with the names given to ``fit``. Both get checked input (:func:`check_members`)
    when called through ``fit`` and ``log_posterior``; subclasses write ``learn`` and ``fuse``.

    Attributes:
        Config: class of its hyperparameters, a :class:`FuserConfig`.
        config: the hyperparameters of this object, of that class.
        num_classes: C.
        classes: of the dataset, set by whoever makes the fuser; None: nobody said. See :attr:`train_counts`.
    """

    Config: ClassVar[type[FuserConfig]] = FuserConfig
    classes: Classes | None = None

    def __init__(self, num_classes: int, config: FuserConfig | None = None) -> None:
        self.num_classes = num_classes
        self.config: Any = config if config is not None else self.Config()
        self._fitted: list[tuple[str, tuple[int, ...]]] | None = None

    @property
    def fitted_on(self) -> FittedOn:
        """What this fuser learns from. One that has no ``learn`` of its own learns nothing."""
        return "nothing" if type(self).learn is Fuser.learn else "val"

    @property
    def train_counts(self) -> Tensor:
        """int64[C], training images of each class. Raises UsageError where nobody said."""
        if self.classes is None:
            raise UsageError(
                f"{type(self).__name__} needs the classes' training counts: get_fuser(..., train_counts=[...])."
            )
        return self.classes.train_counts

    def fit(self, members: Sequence[MemberLogits], labels: Any) -> "Fuser":
        """Learn from the validation split: ``labels`` int64[N]. Returns self. Raises DataError for input that cannot be fused."""
        labels = torch.as_tensor(np.asarray(labels), dtype=torch.int64)
        check_members(members, self.num_classes, labels)
        if not len(labels):
            raise DataError("the validation split holds no sample to fit a fuser on.")
        self.learn(list(members), labels)
        self._fitted = _layout(members)
        return self

    def log_posterior(self, members: Sequence[MemberLogits]) -> Tensor:
        """log q: float32[N, C]; ``exp`` of each row sums to 1 within 1e-5. Raises DataError for other members than fitted on."""
        check_members(members, self.num_classes)
        if self._fitted is not None and _layout(members) != self._fitted:
            raise DataError(
                "these members are not the ones the fuser was fitted on (names, order and widths must agree)."
            )
        return self.fuse(list(members))

    def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
        """Learn from the validation split, checked: ``labels`` int64[N]. For subclasses; callers use :meth:`fit`."""
        return

    @abstractmethod
    def fuse(self, members: list[MemberLogits]) -> Tensor:
        """log q float32[N, C] of members that were checked. For subclasses; callers use :meth:`log_posterior`."""

    def state(self) -> dict[str, Any]:
        """What was learned, as plain numbers and lists, for the record (empty when nothing was)."""
        return {}


def _layout(members: Sequence[MemberLogits]) -> list[tuple[str, tuple[int, ...]]]:
    return [(member.name, tuple(member.logits.shape[1:])) for member in members]
