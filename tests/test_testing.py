"""The contract suite lets good fusers pass and finds each broken promise."""

import pytest
import torch
from torch import Tensor

from ltbench.errors import DataError
from ltbench.fuser import Fuser, FuserConfig, MemberLogits
from ltbench.testing.fuser_contract import NUM_CLASSES, check_fuser

Members = list[MemberLogits]


class Mixture(Fuser):
    """Mean of the posteriors, what a partial member has left over spread evenly: keeps every promise."""

    def fuse(self, members: Members) -> Tensor:
        total = torch.zeros(len(members[0]), self.num_classes)
        for member in members:
            p = member.logits.double().softmax(dim=1).float()
            full = torch.zeros_like(total)
            full[:, member.classes] = p[:, : len(member.classes)]
            total += full + ((1 - full.sum(dim=1)) / self.num_classes)[:, None]
        return (total / total.sum(dim=1, keepdim=True)).log()


class FullOnly(Mixture):
    """Refuses partial members, which it may."""

    def learn(self, members: Members, labels: Tensor) -> None:
        if any(member.outside != "none" for member in members):
            raise DataError("partial members are not supported.")


class RefusesAll(Mixture):
    def learn(self, members: Members, labels: Tensor) -> None:
        raise DataError("no.")


class Unnormalised(Mixture):
    def fuse(self, members: Members) -> Tensor:
        return super().fuse(members) + 0.01


class DoublePrecision(Mixture):
    def fuse(self, members: Members) -> Tensor:
        return super().fuse(members).double()


class TooManyColumns(Mixture):
    def fuse(self, members: Members) -> Tensor:
        return super().fuse([*members]).repeat(1, 2) - 2**-0.5


class Overflows(Mixture):
    """exp without a shift: NaN for large logits."""

    def fuse(self, members: Members) -> Tensor:
        shifted = [MemberLogits(m.name, m.method, m.classes, m.outside, m.logits.clamp(max=1e30)) for m in members]
        naive = shifted[0].logits.exp()
        return super().fuse(members) + 0 * (naive / naive).sum(dim=1, keepdim=True)


class Random(Mixture):
    def learn(self, members: Members, labels: Tensor) -> None:
        self.shift = torch.rand(self.num_classes)

    def fuse(self, members: Members) -> Tensor:
        return (super().fuse(members) + self.shift).log_softmax(dim=1)


class Transductive(Mixture):
    """Divides by the test samples' mean posterior: learns from the test split."""

    def fuse(self, members: Members) -> Tensor:
        log_q = super().fuse(members)
        return (log_q - log_q.exp().mean(dim=0).log()).log_softmax(dim=1)


class FirstCountsTwice(Mixture):
    def fuse(self, members: Members) -> Tensor:
        return super().fuse([members[0], *members])


class PrefersClassZero(Mixture):
    def fuse(self, members: Members) -> Tensor:
        favour = torch.zeros(self.num_classes)
        favour[0] = 1.0
        return (super().fuse(members) + favour).log_softmax(dim=1)


class ChangesItsInput(Mixture):
    """Idempotent, so that nothing but the input itself betrays it."""

    def fuse(self, members: Members) -> Tensor:
        log_q = super().fuse(members)
        for member in members:
            member.logits.sub_(member.logits.logsumexp(dim=1, keepdim=True))
        return log_q


class HasATensorForState(Mixture):
    def state(self) -> dict[str, object]:
        return {"w": torch.zeros(2)}


@pytest.mark.parametrize("cls", [Mixture, FullOnly])
def test_a_fuser_that_keeps_its_promises_passes(cls: type[Fuser]) -> None:
    check_fuser(cls)
    check_fuser(cls, FuserConfig())


@pytest.mark.parametrize(
    ("cls", "complaint"),
    [
        (RefusesAll, "refuses every ensemble"),
        (Unnormalised, "rows of the posterior sum to 1.01"),
        (DoublePrecision, "is torch.float64, not float32"),
        (TooManyColumns, rf"has shape \(30, {2 * NUM_CLASSES}\)"),
        (Overflows, "extreme test logits: log_posterior holds NaN"),
        (Random, "fitting twice"),
        (Transductive, "depends on the other samples"),
        (FirstCountsTwice, "a reject class: the order of the members"),
        (PrefersClassZero, "numbering the classes differently"),
        (ChangesItsInput, "changed in place"),
        (HasATensorForState, "cannot be written to a record"),
    ],
)
def test_a_broken_promise_is_named(cls: type[Fuser], complaint: str) -> None:
    with pytest.raises(AssertionError, match=f"^{cls.__name__} .*{complaint}"):
        check_fuser(cls)
