"""Post-hoc logit adjustment: against its formula in numpy, and what it says it was fitted on."""

import numpy as np
import pytest
import torch
from ltbench_fusers.logit_adjustment import LogitAdjustment
from ltbench_fusers.soft_voting import SoftVoting
from ltbench_fusers.temperature import Temperature

import ltbench
from ltbench.classes import classes_of
from ltbench.errors import DataError, UsageError
from ltbench.fuser import MemberLogits
from ltbench.testing import check_fuser

COUNTS = [500, 60, 20, 4]


def full(seed: int, samples: int = 40, name: str = "a") -> MemberLogits:
    logits = 2 * torch.randn(samples, 4, generator=torch.Generator().manual_seed(seed))
    return MemberLogits(f"{name}/all", name, torch.arange(4), "none", logits)


def expected(members: list[MemberLogits], tau: float) -> np.ndarray:
    z = np.mean([member.logits.double().numpy() for member in members], axis=0)
    z = z - tau * np.log(np.array(COUNTS) / sum(COUNTS))
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_the_log_frequencies_are_taken_off_the_logits(tau: float) -> None:
    """A rare class gains: MONICA's sign would give it less."""
    members = [full(0), full(1, name="b")]
    fuser = ltbench.get_fuser("logit-adjustment", 4, COUNTS, tau=tau).fit(members, torch.zeros(40))
    q = fuser.log_posterior(members).exp().numpy()
    np.testing.assert_allclose(q, expected(members, tau), rtol=1e-4, atol=1e-6)
    plain = ltbench.get_fuser("logit-adjustment", 4, COUNTS, tau=0.0).log_posterior(members).exp().numpy()
    assert tau == 0 or (q[:, 3] > plain[:, 3]).all()
    assert (fuser.fitted_on, fuser.state()) == ("nothing", {})


def test_tau_can_be_chosen_on_validation() -> None:
    member, labels = full(2, 400), torch.arange(400) % 4
    logits = member.logits + 1.5 * torch.nn.functional.one_hot(labels, 4)
    member = MemberLogits("a/all", "a", torch.arange(4), "none", logits + 1.3 * torch.tensor(COUNTS).log())
    fuser = ltbench.get_fuser("logit-adjustment", 4, COUNTS, tau="val").fit([member], labels)
    right = [(expected([member], tau).argmax(axis=1) == labels.numpy()).sum() for tau in np.arange(21) / 10]
    assert fuser.state() == {"tau": int(np.argmax(right)) / 10}
    assert abs(fuser.state()["tau"] - 1.3) < 0.5
    assert fuser.fitted_on == "val"


def test_tau_goes_up_to_two() -> None:
    labels = torch.arange(400) % 4
    logits = full(0, 400).logits + 1.5 * torch.nn.functional.one_hot(labels, 4) + 4 * torch.tensor(COUNTS).log()
    member = MemberLogits("a/all", "a", torch.arange(4), "none", logits)
    right = [(expected([member], tau).argmax(axis=1) == labels.numpy()).sum() for tau in (1.9, 2.0, 2.1)]
    assert right == sorted(set(right))  # it would be better still
    assert ltbench.get_fuser("logit-adjustment", 4, COUNTS, tau="val").fit([member], labels).state() == {"tau": 2.0}


@pytest.mark.parametrize("tau", [1.0, "val"])
def test_it_keeps_the_contract(tau: float | str) -> None:
    check_fuser(LogitAdjustment, LogitAdjustment.Config(tau=tau))


def test_what_it_cannot_do_is_one_line() -> None:
    fuser = LogitAdjustment(4)
    with pytest.raises(UsageError, match=r"^LogitAdjustment needs the classes' training counts: get_fuser\("):
        fuser.log_posterior([full(0)])
    fuser.classes = classes_of([5, 3, 0, 2])
    with pytest.raises(DataError, match=r"^class 2 has no training image"):
        fuser.log_posterior([full(0)])
    fuser.classes = classes_of(COUNTS)
    partial = MemberLogits("b/few", "b", torch.tensor([0, 1]), "zero", torch.zeros(40, 2))
    with pytest.raises(UsageError, match=r"is for members over all classes; b/few covers some"):
        fuser.log_posterior([full(0), partial])


def test_a_fuser_says_what_it_was_fitted_on() -> None:
    assert SoftVoting(4).fitted_on == "nothing"
    assert Temperature(4).fitted_on == "val"
