"""Members for property tests: partitions of the classes, overlapping subsets, one full member, logits up to +-1e4."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from ltbench.fuser import MemberLogits, Outside

MODERATE = 8.0
"""Logits up to this leave every probability large enough to be compared with an optimiser's."""

EXTREME = 1e4


@dataclass(frozen=True)
class Case:
    """Members over ``num_classes`` classes and labels int64[N]."""

    members: list[MemberLogits]
    num_classes: int
    labels: Tensor

    @property
    def posteriors(self) -> list[np.ndarray]:
        """p_E of each member by numpy, float64[N, K or K + 1]."""
        return [softmax(member.logits.numpy()) for member in self.members]

    @property
    def class_ids(self) -> list[np.ndarray]:
        return [member.classes.numpy() for member in self.members]


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def random_case(seed: int, subsets: list[tuple[list[int], Outside]], samples: int, num_classes: int) -> Case:
    """Logits that know something: the label's own, or the reject one, is 1.5 larger. Labels take turns."""
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % num_classes
    members = []
    for number, (classes, outside) in enumerate(subsets):
        logits = rng.normal(size=(samples, len(classes) + (outside == "reject")))
        own = labels[:, None] == np.array(classes)
        logits[:, : len(classes)] += 1.5 * own
        if outside == "reject":
            logits[:, -1] += 1.5 * ~own.any(axis=1)
        method = "full" if outside == "none" else "experts"
        members.append(MemberLogits(f"{method}/{number}", method, torch.tensor(classes), outside, torch.tensor(logits)))
    return Case(members, num_classes, torch.tensor(labels))


def _member(draw: Any, number: int, classes: list[int], outside: Outside, samples: int, scale: float) -> MemberLogits:
    width = len(classes) + (outside == "reject")
    elements = st.floats(-scale, scale, width=32)
    method = "full" if outside == "none" else draw(st.sampled_from(["experts", "others"]))
    logits = draw(arrays(np.float32, (samples, width), elements=elements))
    return MemberLogits(f"{method}/{number}", method, torch.tensor(sorted(classes)), outside, torch.from_numpy(logits))


@st.composite
def disjoint_cases(draw: Any, scale: float = MODERATE, outside: tuple[Outside, ...] = ("reject", "zero")) -> Case:
    """Two to four experts whose subsets are a partition of up to seven classes."""
    num_classes = draw(st.integers(2, 7))
    experts = draw(st.integers(2, min(4, num_classes)))
    order = draw(st.permutations(range(num_classes)))
    cuts = sorted(draw(st.sets(st.integers(1, num_classes - 1), min_size=experts - 1, max_size=experts - 1)))
    subsets = [order[a:b] for a, b in zip([0, *cuts], [*cuts, num_classes], strict=True)]
    samples = draw(st.integers(1, 4))
    members = [
        _member(draw, number, list(subset), draw(st.sampled_from(outside)), samples, scale)
        for number, subset in enumerate(subsets)
    ]
    return Case(members, num_classes, _labels(draw, samples, num_classes))


@st.composite
def overlapping_cases(draw: Any, scale: float = MODERATE) -> Case:
    """A full member beside up to three experts with whatever subsets."""
    num_classes = draw(st.integers(2, 6))
    samples = draw(st.integers(1, 3))
    members = [_member(draw, 0, list(range(num_classes)), "none", samples, scale)]
    for number in range(1, 1 + draw(st.integers(1, 3))):
        size = draw(st.integers(1, num_classes - 1))
        subset = draw(st.permutations(range(num_classes)))[:size]
        members.append(_member(draw, number, list(subset), draw(st.sampled_from(["reject", "zero"])), samples, scale))
    return Case(draw(st.permutations(members)), num_classes, _labels(draw, samples, num_classes))


@st.composite
def full_cases(draw: Any, scale: float = MODERATE) -> Case:
    """One member over all of up to six classes."""
    num_classes, samples = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    member = _member(draw, 0, list(range(num_classes)), "none", samples, scale)
    return Case([member], num_classes, _labels(draw, samples, num_classes))


def any_cases(scale: float) -> st.SearchStrategy[Case]:
    return disjoint_cases(scale) | overlapping_cases(scale) | full_cases(scale)


def _labels(draw: Any, samples: int, num_classes: int) -> Tensor:
    return torch.tensor(draw(st.lists(st.integers(0, num_classes - 1), min_size=samples, max_size=samples)))


def renumbered(case: Case, new_number: list[int]) -> Case:
    """The same case after class k has become class ``new_number[k]``."""
    number = torch.tensor(new_number)
    members = []
    for member in case.members:
        ids, order = number[member.classes].sort()
        columns = torch.cat([order, torch.arange(len(ids), member.logits.shape[1])])
        members.append(MemberLogits(member.name, member.method, ids, member.outside, member.logits[:, columns]))
    return Case(members, case.num_classes, number[case.labels])
