"""The mean of logits as a fuser: by hand, one vote for each method, over all classes alone."""

import numpy as np
import pytest
import torch
from ltbench_zoo.mean_logits import MeanLogits

from ltbench.errors import UsageError
from ltbench.fuser import MemberLogits
from ltbench.testing import check_fuser

from .fitted import log_softmax


def member(name: str, seed: int) -> MemberLogits:
    logits = 3 * torch.randn(7, 4, generator=torch.Generator().manual_seed(seed))
    return MemberLogits(name, name.split("/", maxsplit=1)[0], torch.arange(4), "none", logits)


def test_it_keeps_the_promises_of_a_fuser() -> None:
    check_fuser(MeanLogits)


def test_one_vote_for_each_method() -> None:
    members = [member("ride/a", 0), member("ride/b", 1), member("baseline/all", 2)]
    a, b, alone = (each.logits.double().numpy() for each in members)
    expected = log_softmax(((a + b) / 2 + alone) / 2)
    assert np.allclose(MeanLogits(4).log_posterior(members), expected, atol=1e-5)
    assert np.allclose(MeanLogits(4).log_posterior(members[2:]), log_softmax(alone), atol=1e-5)


def test_it_is_not_the_mean_of_posteriors() -> None:
    members = [member("ride/a", 0), member("ride/b", 1)]
    mean = np.mean([np.exp(log_softmax(each.logits.double().numpy())) for each in members], axis=0)
    assert not np.allclose(MeanLogits(4).log_posterior(members).exp(), mean, atol=0.01)


def test_members_over_some_classes_have_no_mean() -> None:
    partial = MemberLogits("experts/few", "experts", torch.tensor([2, 3]), "reject", torch.zeros(7, 3))
    with pytest.raises(UsageError, match=r"mean-logits is for members over all classes; experts/few covers some"):
        MeanLogits(4).fit([member("ride/a", 0), partial], torch.zeros(7, dtype=torch.int64))


def test_it_says_that_it_learns_nothing() -> None:
    assert MeanLogits(4).fitted_on == "nothing"
