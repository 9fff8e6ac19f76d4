"""From stored logits to a record: fit the fuser on validation, measure its posterior on test."""

import time

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import LtbenchError, UsageError
from ltbench.fuser import Fuser, FuserConfig, MemberLogits
from ltbench.logits import LogitsFolder
from ltbench.manager import plugins


class SingleMember(Fuser):
    """``none``: one member over all classes, its softmax taken as it is."""

    def _log_posterior(self, members: list[MemberLogits]) -> Tensor:
        if len(members) != 1 or members[0].outside != "none":
            names = ", ".join(member.name for member in members)
            known = ", ".join(plugins().fusers.names()) or "none is installed"
            raise UsageError(
                f"members {names} must be fused to cover every class: choose a fuser with --fuser ({known})."
            )
        return members[0].logits.log_softmax(dim=1)


def make_fuser(name: str, num_classes: int, config: FuserConfig | None = None) -> Fuser:
    """The fuser of that name; ``none`` is :class:`SingleMember`."""
    if name == "none":
        return SingleMember(num_classes)
    cls: type[Fuser] = plugins().fusers.load(name)
    return cls(num_classes, config)


class Measured:
    """What a fuser makes of one set of logits.

    Attributes:
        log_posterior: float32[N, C] on the test split.
        correct: bool[N].
        labels, indices: int64[N], true classes and positions in the split, of the same rows as ``log_posterior``.
        fuser: the fitted fuser.
        seconds: of fitting and of fusing.
    """

    def __init__(self, fuser: Fuser, content: LogitsFolder) -> None:
        started = time.perf_counter()
        fuser.fit(content.val.members, content.val.labels)
        fitted = time.perf_counter()
        self.fuser = fuser
        self.log_posterior = fuser.log_posterior(content.test.members)
        self.seconds = {"fuser_fit": fitted - started, "fuser_apply": time.perf_counter() - fitted}
        self._check(content.num_classes)
        predicted = self.log_posterior.argmax(dim=1)
        self.labels, self.indices = content.test.labels, content.test.indices
        self.correct: np.ndarray = (predicted == self.labels).numpy()
        self.confidence: np.ndarray = self.log_posterior.max(dim=1).values.exp().double().numpy()
        chosen = self.log_posterior.gather(1, self.labels[:, None]).double()
        self.nll = -float(chosen.mean())

    def _check(self, num_classes: int) -> None:
        name, shape = type(self.fuser).__name__, tuple(self.log_posterior.shape)
        if shape[1:] != (num_classes,):
            raise LtbenchError(
                f"fuser {name} answered shape {shape}; a posterior over {num_classes} classes was expected."
            )
        for part in self.log_posterior.split(8192):
            sums = part.double().exp().sum(dim=1)
            if not torch.isfinite(sums).all() or (sums - 1).abs().max() > 1e-4:
                raise LtbenchError(
                    f"fuser {name} answered rows that are no distribution (sums from {sums.min():.6f} to {sums.max():.6f})."
                )
