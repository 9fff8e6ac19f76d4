"""What every shipped fuser promises, for whatever members."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ltbench_fusers import ltbench_fusers
from ltbench_fusers.expert_selection import ExpertSelection
from ltbench_fusers.joint_calibration import JointCalibration
from ltbench_fusers.kl_divergence import KLDivergence
from ltbench_fusers.soft_voting import SoftVoting
from ltbench_fusers.stacking import Stacking
from ltbench_fusers.temperature import Temperature
from torch import Tensor

from ltbench.fuser import Fuser, MemberLogits

from .member_strategies import EXTREME, MODERATE, Case, any_cases, disjoint_cases, full_cases, random_case, renumbered

EXACT: list[type[Fuser]] = [KLDivergence, SoftVoting]
LEARNED: list[tuple[type[Fuser], dict[str, object]]] = [
    (JointCalibration, {"l2": 1e-2}),
    (JointCalibration, {"l2": 1e-2, "reject": "share"}),
    (Stacking, {"l2": 1e-2}),
    (ExpertSelection, {"l2": 1e-2}),
    (Temperature, {}),
]
ALL: list[tuple[type[Fuser], dict[str, object]]] = [*((fuser, {}) for fuser in EXACT), *LEARNED]


def fuse(fuser: type[Fuser], case: Case, **config: object) -> Tensor:
    """log q of a fuser fitted on the very samples that it fuses."""
    made = fuser(case.num_classes, fuser.Config(**config))
    return made.fit(case.members, case.labels).log_posterior(case.members)


def assert_distribution(log_q: Tensor, case: Case) -> None:
    assert log_q.dtype == torch.float32
    assert log_q.shape == (len(case.labels), case.num_classes)
    assert torch.isfinite(log_q).all()
    assert (log_q.double().exp().sum(dim=1) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("fuser", EXACT)
@given(case=any_cases(EXTREME) | any_cases(MODERATE))
@settings(max_examples=80, deadline=None)
def test_a_posterior_is_a_distribution(fuser: type[Fuser], case: Case) -> None:
    assert_distribution(fuse(fuser, case), case)


@pytest.mark.parametrize(("fuser", "config"), LEARNED)
@given(case=disjoint_cases(EXTREME) | disjoint_cases(MODERATE) | full_cases(EXTREME))
@settings(max_examples=15, deadline=None)
def test_a_learned_posterior_is_a_distribution(fuser: type[Fuser], config: dict[str, object], case: Case) -> None:
    assert_distribution(fuse(fuser, case, **config), case)


@pytest.mark.parametrize("scale", [1e8, 3e38])
@pytest.mark.parametrize(("fuser", "config"), ALL)
def test_the_largest_finite_logits(fuser: type[Fuser], config: dict[str, object], scale: float) -> None:
    logits = scale * torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 1.0], [0.0, 0.0, -1.0], [-1.0, -1.0, 1.0]])
    members = [
        MemberLogits("a", "experts", torch.tensor([0, 1]), "reject", logits),
        MemberLogits("b", "experts", torch.tensor([2, 3]), "reject", logits.flip(0)),
    ]
    case = Case(members, 4, torch.tensor([0, 1, 2, 3]))
    assert_distribution(fuse(fuser, case, **config), case)


@pytest.mark.parametrize("fuser", EXACT)
@given(case=any_cases(MODERATE) | any_cases(EXTREME), data=st.data())
@settings(max_examples=60, deadline=None)
def test_neither_the_order_of_members_nor_the_numbering_of_classes_matters(
    fuser: type[Fuser], case: Case, data: st.DataObject
) -> None:
    q = fuse(fuser, case).exp()
    reordered = Case(data.draw(st.permutations(case.members)), case.num_classes, case.labels)
    assert torch.allclose(fuse(fuser, reordered).exp(), q, atol=1e-6)
    new_number = data.draw(st.permutations(range(case.num_classes)))
    assert torch.allclose(fuse(fuser, renumbered(case, new_number)).exp()[:, new_number], q, atol=1e-6)


@pytest.mark.parametrize(("fuser", "config"), LEARNED)
@given(seed=st.integers(0, 1000), order=st.permutations(range(3)), new_number=st.permutations(range(5)))
@settings(max_examples=5, deadline=None)
def test_nor_do_they_to_what_is_learned(
    fuser: type[Fuser], config: dict[str, object], seed: int, order: list[int], new_number: list[int]
) -> None:
    case = random_case(seed, [([0, 3], "reject"), ([1, 4], "reject"), ([2], "reject")], samples=40, num_classes=5)
    q = fuse(fuser, case, **config).exp()
    reordered = Case([case.members[position] for position in order], 5, case.labels)
    assert torch.allclose(fuse(fuser, reordered, **config).exp(), q, atol=1e-4)
    assert torch.allclose(fuse(fuser, renumbered(case, new_number), **config).exp()[:, new_number], q, atol=1e-4)


@pytest.mark.parametrize("fuser", EXACT)
@given(case=full_cases(MODERATE) | full_cases(EXTREME))
@settings(max_examples=30, deadline=None)
def test_one_full_member_comes_back_unchanged(fuser: type[Fuser], case: Case) -> None:
    expected = torch.log_softmax(case.members[0].logits.double(), dim=1)
    assert torch.allclose(fuse(fuser, case).double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("fuser", "config"), ALL)
def test_the_size_of_chunks_changes_nothing(
    fuser: type[Fuser], config: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(0, [([0, 3], "reject"), ([1, 4], "reject"), ([2], "reject")], samples=40, num_classes=5)
    whole = fuse(fuser, case, **config)
    monkeypatch.setattr("ltbench.posterior.CHUNK_ELEMENTS", 35)
    assert torch.allclose(fuse(fuser, case, **config).exp(), whole.exp(), atol=1e-4)


@pytest.mark.parametrize("fuser", list(dict.fromkeys(fuser for fuser, _ in ALL)))
def test_the_state_can_be_written_to_a_record(fuser: type[Fuser]) -> None:
    case = random_case(0, [([0, 1], "reject"), ([2, 3], "reject")], samples=20, num_classes=4)
    state = fuser(4).fit(case.members, case.labels).state()
    assert json.loads(json.dumps(state)) == state
    assert bool(state) == (fuser not in EXACT)


def test_registration() -> None:
    specs = {spec.name: spec for spec in ltbench_fusers()}
    assert list(specs) == ["kl", "soft", "selection", "stacking", "joint", "temperature", "logit-adjustment"]
    assert [name for name, spec in specs.items() if spec.control] == ["joint"]
    assert all(spec.summary and spec.paper for spec in specs.values())
