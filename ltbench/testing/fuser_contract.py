"""The contract suite of fusers, on drawn logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.classes import classes_of
from ltbench.common.canonical import plain
from ltbench.data.guard import no_test_split
from ltbench.engine.evaluation.second_look import SecondLook
from ltbench.errors import LtbenchError, PluginError
from ltbench.fuser import Fuser, FuserConfig, MemberLogits, Outside
from ltbench.registry.lookup import is_transductive
from ltbench.registry.manager import plugins
from ltbench.testing.method_contract import broken_promise

NUM_CLASSES = 6
VAL_SAMPLES, TEST_SAMPLES = 120, 30

NEW_NUMBER = torch.tensor([3, 0, 5, 1, 4, 2])
"""int64[C]: a renumbering of the classes."""

TRAIN_COUNTS = torch.tensor([900, 400, 90, 40, 12, 5])
"""int64[C]: of the classes that a fuser may ask for."""

TOLERANCE = 1e-3
"""Difference of probabilities that an iterative fit may leave between two equivalent problems."""

Members = list[MemberLogits]


def check_fuser(cls: type[Fuser], config: FuserConfig | None = None) -> None:
    """Check what every fuser promises, on drawn logits of several kinds of ensembles.

    The posterior is a distribution for every sample, extreme logits included; it does not depend on the other samples
    or their order (unless the fuser is registered with ``transductive=True``), on the order of the members or on how the
    classes are numbered; fitting twice gives the same; the members stay as they are; the state can be written to a
    record; no test split of a dataset is opened. A kind of ensemble that the fuser refuses with an LtbenchError is passed
    over, unless it refuses all.

    Args:
        config: hyperparameters; the defaults if None.

    Raises:
        AssertionError: one line that says which promise is broken, and for which ensemble.
    """
    accepted = 0
    with broken_promise(), no_test_split(f"fuser {cls.__name__} is fitted and applied"):
        for ensemble in ENSEMBLES:
            try:
                _made(cls, config).fit(ensemble.draw(VAL_SAMPLES), _labels(VAL_SAMPLES))
            except PluginError:
                raise
            except LtbenchError:
                continue
            accepted += 1
            _check_on(ensemble, cls, config)
    assert accepted, f"{cls.__name__} refuses every ensemble: {'; '.join(ensemble.name for ensemble in ENSEMBLES)}"


@dataclass(frozen=True)
class Ensemble:
    """A kind of ensemble: (covered classes, outside) of each member."""

    name: str
    members: Sequence[tuple[Sequence[int], Outside]]

    def draw(self, samples: int, scale: float = 1.0) -> Members:
        """Logits for samples whose labels are :func:`_labels`: the same at every call."""
        labels = _labels(samples)
        return [_member(str(position), labels, *member, scale) for position, member in enumerate(self.members)]


_SUBSETS = ([0, 3], [1, 4], [2, 5])

ENSEMBLES = (
    Ensemble("one member over all classes", [(range(NUM_CLASSES), "none")]),
    Ensemble("partial members with a reject class", [(subset, "reject") for subset in _SUBSETS]),
    Ensemble("partial members without a reject class", [(subset, "zero") for subset in _SUBSETS]),
    Ensemble(
        "a member over all classes beside partial ones",
        [(range(NUM_CLASSES), "none"), *((subset, "reject") for subset in _SUBSETS)],
    ),
)


def _check_on(ensemble: Ensemble, cls: type[Fuser], config: FuserConfig | None) -> None:
    where = f"{cls.__name__} on {ensemble.name}"
    labels, val, test = _labels(VAL_SAMPLES), ensemble.draw(VAL_SAMPLES), ensemble.draw(TEST_SAMPLES)

    def fitted(members: Members = val, targets: Tensor = labels, counts: Tensor = TRAIN_COUNTS) -> Fuser:
        return _made(cls, config, counts).fit(members, targets)

    fuser = fitted()
    look = SecondLook(fuser, test, fingerprint="")
    log_q = fuser.log_posterior(test)
    _check_distribution(log_q, where)
    for member, drawn in zip(val + test, ensemble.draw(VAL_SAMPLES) + ensemble.draw(TEST_SAMPLES), strict=True):
        assert torch.equal(member.logits, drawn.logits), f"{where}: the members' logits were changed in place"
    _check_state(fuser, where)

    again = fitted().log_posterior(test)
    assert torch.equal(again, log_q), f"{where}: fitting twice on the same logits gives two posteriors"

    if not is_transductive(plugins().fusers, cls):
        assert look.agrees(log_q), f"{where}: the posterior of a sample depends on the other samples or their order"

    reordered = fitted(val[::-1]).log_posterior(test[::-1])
    _check_same(reordered, log_q, f"{where}: the order of the members changes the posterior")

    counts = torch.empty_like(TRAIN_COUNTS).scatter_(0, NEW_NUMBER, TRAIN_COUNTS)
    renumbered = fitted(_renumbered(val), NEW_NUMBER[labels], counts).log_posterior(_renumbered(test))
    _check_same(renumbered[:, NEW_NUMBER], log_q, f"{where}: numbering the classes differently changes the posterior")

    extreme_val, extreme_test = ensemble.draw(VAL_SAMPLES, 1e4), ensemble.draw(TEST_SAMPLES, 1e4)
    _check_distribution(fuser.log_posterior(extreme_test), f"{where}, extreme test logits")
    _check_distribution(fitted(extreme_val).log_posterior(extreme_test), f"{where}, extreme logits")


def _made(cls: type[Fuser], config: FuserConfig | None, counts: Tensor = TRAIN_COUNTS) -> Fuser:
    fuser = cls(NUM_CLASSES, config)
    fuser.classes = classes_of(counts)
    return fuser


def _labels(samples: int) -> Tensor:
    return torch.arange(samples) % NUM_CLASSES


def _member(name: str, labels: Tensor, classes: Sequence[int], outside: Outside, scale: float) -> MemberLogits:
    """Noise, and more where the true class (or the reject class) is, so that there is something to learn."""
    ids = torch.tensor(list(classes))
    generator = torch.Generator().manual_seed(1000 * len(labels) + int(ids.sum()))
    logits = torch.randn(len(labels), len(ids) + (outside == "reject"), generator=generator)
    own = labels[:, None] == ids
    logits[:, : len(ids)] += 2.0 * own
    if outside == "reject":
        logits[:, -1] += 1.5 * ~own.any(dim=1)
    method = "full" if outside == "none" else "partial"
    return MemberLogits(f"{method}/{name}", method, ids, outside, scale * logits)


def _renumbered(members: Members) -> Members:
    """The same members after class k has become class NEW_NUMBER[k]."""
    result = []
    for member in members:
        ids, order = NEW_NUMBER[member.classes].sort()
        columns = torch.cat([order, torch.arange(len(ids), member.logits.shape[1])])
        result.append(MemberLogits(member.name, member.method, ids, member.outside, member.logits[:, columns]))
    return result


def _check_distribution(log_q: Tensor, where: str) -> None:
    expected, shape = (TEST_SAMPLES, NUM_CLASSES), tuple(log_q.shape)
    assert shape == expected, f"{where}: log_posterior has shape {shape}, not {expected}"
    assert log_q.dtype == torch.float32, f"{where}: log_posterior is {log_q.dtype}, not float32"
    assert not torch.isnan(log_q).any(), f"{where}: log_posterior holds NaN"
    sums = log_q.double().exp().sum(dim=1)
    assert (sums - 1).abs().max() < 1e-5, f"{where}: rows of the posterior sum to {sums.min():.6f} .. {sums.max():.6f}"


def _check_state(fuser: Fuser, where: str) -> None:
    try:
        plain(fuser.state())
    except TypeError as error:
        raise AssertionError(f"{where}: its state cannot be written to a record: {error}") from error


def _check_same(one: Tensor, other: Tensor, complaint: str) -> None:
    difference = (one.double().exp() - other.double().exp()).abs().max()
    assert difference < TOLERANCE, f"{complaint} (by up to {difference:.4f})"
