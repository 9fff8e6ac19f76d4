"""From stored logits to a record: fit the fuser on validation, measure its posterior on test."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ltbench.classes import Classes
from ltbench.data.guard import no_test_split
from ltbench.engine.evaluation.order import drawn_order, put_back
from ltbench.engine.evaluation.second_look import SecondLook
from ltbench.errors import LtbenchError, PluginError, UsageError
from ltbench.fuser import Fuser, FuserConfig, MemberLogits
from ltbench.registry.lookup import is_transductive
from ltbench.registry.manager import plugin_code, plugins
from ltbench.results.logits import LogitsFolder


class SingleMember(Fuser):
    """``none``: one member over all classes, its softmax taken as it is."""

    def fuse(self, members: list[MemberLogits]) -> Tensor:
        refuse_unfused([member.name for member in members], [member.outside for member in members])
        return members[0].logits.log_softmax(dim=1)


def refuse_unfused(names: Sequence[str], outside: Sequence[str]) -> None:
    """Say why members make no posterior without a fuser: they are several, or the one does not cover every class.

    Raises:
        UsageError: they do not.
    """
    known = ", ".join(plugins().fusers.names()) or "none is installed"
    partial = [name for name, others in zip(names, outside, strict=True) if others != "none"]
    if len(names) > 1:
        what = f"members {', '.join(names)} must be fused: each answers on its own"
        what += ", none over all classes" if len(partial) == len(names) else ""
    elif partial:
        what = f"member {names[0]} covers some of the classes alone, and must be fused"
    else:
        return
    raise UsageError(f"{what}. Choose a fuser with --fuser ({known}).")


def make_fuser(name: str, classes: Classes, config: FuserConfig | None = None) -> Fuser:
    """The fuser of that name; ``none`` is :class:`SingleMember`."""
    with plugin_code("fuser", name, "its constructor"):
        fuser = fuser_class(name)(len(classes), config)
    fuser.classes = classes
    return fuser


def fuser_class(name: str) -> type[Fuser]:
    """Its class, imported now. Raises as :meth:`ltbench.registry.lookup.Registry.load`."""
    if name == "none":
        return SingleMember
    found: type[Fuser] = plugins().fusers.load(name)
    return found


class Measured:
    """What a fuser makes of one set of logits, row by row: what depends on other rows, or on their order, is refused.

    Attributes:
        log_posterior: float32[N, C] on the test split, in the order in which the content holds it.
        correct: bool[N].
        labels, indices: int64[N], true classes and positions in the split, of the same rows as ``log_posterior``.
        fuser: the fitted fuser.
        transductive: its spec says that a posterior may depend on other samples.
        seconds: of fitting and of fusing.

    Raises:
        PluginError: the posterior of a sample depends on others, and the fuser's spec does not say so.
        LtbenchError: what the fuser answers is no posterior.
    """

    def __init__(self, fuser: Fuser, content: LogitsFolder) -> None:
        self.fuser = fuser
        self.transductive = is_transductive(plugins().fusers, type(fuser))
        with no_test_split(f"fuser '{self._name}' is fitted and applied"):
            self.log_posterior = self._measure(content)
        predicted = self.log_posterior.argmax(dim=1)
        self.labels, self.indices = content.test.labels, content.test.indices
        self.correct: np.ndarray = (predicted == self.labels).numpy()
        self.confidence: np.ndarray = self.log_posterior.max(dim=1).values.exp().double().numpy()
        chosen = self.log_posterior.gather(1, self.labels[:, None]).double()
        self.nll = -float(chosen.mean())

    def _measure(self, content: LogitsFolder) -> Tensor:
        """log q of the test rows, in their order; the fuser sees them, and those of validation, in a drawn one."""
        fuser, fingerprint = self.fuser, str(content.dataset.get("fingerprint", ""))
        order = drawn_order(fingerprint, "val", len(content.val.labels))
        val = [member.take(order) for member in content.val.members]
        started = time.perf_counter()
        with plugin_code("fuser", type(fuser), "fit"):
            fuser.fit(val, content.val.labels[order])
        self.seconds = {"fuser_fit": time.perf_counter() - started}
        del val
        order = drawn_order(fingerprint, "test", len(content.test.labels))
        test = [member.take(order) for member in content.test.members]
        with plugin_code("fuser", type(fuser), "log_posterior"):
            look = None if self.transductive else SecondLook(fuser, test, fingerprint)
            started = time.perf_counter()
            log_posterior = fuser.log_posterior(test)
        self.seconds["fuser_apply"] = time.perf_counter() - started
        self._check(log_posterior, content.num_classes)
        if look is not None and not look.agrees(log_posterior):
            raise PluginError(
                f"fuser '{self._name}': the posterior of a sample depends on the other samples, on their order or on chance. "
                "A fuser answers for each row alone; or declare FuserSpec(transductive=True), which is ranked in a track of "
                "its own."
            )
        return put_back(log_posterior, order)

    @property
    def _name(self) -> str:
        """What the fuser is registered as."""
        if type(self.fuser) is SingleMember:
            return "none"
        entries = plugins().fusers.entries_of(type(self.fuser))
        return plugins().fusers.name_of(entries[0]) if entries else type(self.fuser).__name__

    def _check(self, log_posterior: Tensor, num_classes: int) -> None:
        name, shape = type(self.fuser).__name__, tuple(log_posterior.shape)
        if shape[1:] != (num_classes,):
            raise LtbenchError(
                f"fuser {name} answered shape {shape}; a posterior over {num_classes} classes was expected."
            )
        for part in log_posterior.split(8192):
            sums = part.double().exp().sum(dim=1)
            if not torch.isfinite(sums).all() or (sums - 1).abs().max() > 1e-4:
                raise LtbenchError(
                    f"fuser {name} answered rows that are no distribution (sums from {sums.min():.6f} to {sums.max():.6f})."
                )
