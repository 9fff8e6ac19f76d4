"""Figure 3: each method alone, and all but each, with any fuser."""

from collections.abc import Sequence

import pytest
import torch
from ltbench_fusers.soft_voting import SoftVoting
from torch import Tensor

from ltbench.analysis.leave_one_out import leave_one_out
from ltbench.errors import DataError
from ltbench.fuser import Fuser, MemberLogits

TRAIN_COUNTS = [200, 50, 5]
LABELS = torch.tensor([0, 1, 2])


def member(method: str, answers: Sequence[int], confidence: float) -> MemberLogits:
    logits = confidence * torch.eye(3)[list(answers)]
    return MemberLogits(method, method, torch.arange(3), "none", logits)


A = member("a", [0, 1, 1], 3.0)  # wrong on the last class
B = member("b", [0, 2, 2], 2.0)  # wrong on the second
C = member("c", [1, 1, 2], 1.0)  # wrong on the first


def test_accuracies_of_every_selection_of_methods() -> None:
    found = leave_one_out(lambda: SoftVoting(3), [A, B, C], LABELS, [A, B, C], LABELS, TRAIN_COUNTS)
    right, wrong = 100.0, 0.0
    assert found.alone["a"] == {"many": right, "medium": right, "few": wrong, "all": pytest.approx(200 / 3)}
    assert found.alone["b"]["medium"] == found.alone["c"]["many"] == wrong
    assert found.everything == {"many": right, "medium": right, "few": right, "all": right}
    assert found.without["a"] == {"many": right, "medium": wrong, "few": right, "all": pytest.approx(200 / 3)}
    assert found.without["b"]["few"] == wrong  # a is surer than c
    assert found.without["c"]["many"] == right
    assert list(found.to_dict()) == ["everything", "alone", "without"]


def test_a_method_of_several_members_leaves_as_a_whole() -> None:
    experts = [
        MemberLogits("experts/0", "experts", torch.tensor([0]), "reject", torch.eye(3)[:, [0, 1]]),
        MemberLogits("experts/1", "experts", torch.tensor([1, 2]), "reject", torch.eye(3)),
    ]
    found = leave_one_out(lambda: SoftVoting(3), [A, *experts], LABELS, [A, *experts], LABELS, TRAIN_COUNTS)
    assert list(found.without) == ["a", "experts"]
    assert found.without["experts"] == found.alone["a"]


def test_each_selection_is_fitted_anew_and_on_validation_alone() -> None:
    fitted: list[tuple[list[str], list[int]]] = []

    class Watched(Fuser):
        def learn(self, members: list[MemberLogits], labels: Tensor) -> None:
            fitted.append(([one.name for one in members], labels.tolist()))

        def fuse(self, members: list[MemberLogits]) -> Tensor:
            return members[0].logits.log_softmax(dim=1)

    val = [one.take(slice(0, 2)) for one in (A, B)]
    leave_one_out(lambda: Watched(3), val, LABELS[:2], [A, B], LABELS, TRAIN_COUNTS)
    assert fitted == [(names, [0, 1]) for names in (["a", "b"], ["a"], ["b"], ["b"], ["a"])]


def test_it_takes_two_methods() -> None:
    with pytest.raises(DataError, match="these members all belong to 'a'"):
        leave_one_out(lambda: SoftVoting(3), [A], LABELS, [A], LABELS, TRAIN_COUNTS)
