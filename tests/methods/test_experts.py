"""Class-balanced experts: partition, reject class and its correction, outlier exposure, what learns and what stays."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ltbench_methods.experts import Experts, RejectHead
from safetensors.torch import load_file
from tiny import TINY, TINY_EXPERTS, settings
from torch import nn

from ltbench.data.samplers import MixedBatchSampler
from ltbench.errors import UsageError
from ltbench.testing import FakeContext

from .drawn import epochs

COUNTS = [150, 120, 90, 60, 30, 19, 10, 5]


def experts(**config: Any) -> Experts:
    return Experts(Experts.Config.model_validate(config))


def partition(counts: list[int], **config: Any) -> dict[str, list[int]]:
    return {name: classes.tolist() for name, classes in experts(**config).partition(FakeContext(counts)).items()}


def test_by_default_the_subsets_are_the_folds() -> None:
    assert partition(COUNTS) == {"many": [0, 1], "medium": [2, 3, 4], "few": [5, 6, 7]}
    assert partition([30, 25, 3]) == {"medium": [0, 1], "few": [2]}, "a fold without classes has no expert"


def test_thresholds_cut_where_they_say() -> None:
    counts = [5, 100, 99, 20, 19, 500]
    found = partition(counts, partition=[100, 20])
    assert found == {"subset1": [1, 5], "subset2": [2, 3], "subset3": [0, 4]}


@given(
    counts=st.lists(st.integers(1, 50), min_size=2, max_size=30),
    number=st.integers(2, 8),
)
def test_a_number_of_subsets_are_of_similar_size_and_contiguous_in_frequency(counts: list[int], number: int) -> None:
    subsets = list(partition(counts, partition=number).values())
    assert len(subsets) == min(number, len(counts))
    assert sorted(sum(subsets, [])) == list(range(len(counts)))
    assert max(map(len, subsets)) - min(map(len, subsets)) <= 1
    for above, below in zip(subsets, subsets[1:], strict=False):
        assert min(counts[k] for k in above) >= max(counts[k] for k in below)
        assert above == sorted(above)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"partition": [20, 100]}, r"experts.partition = \[20, 100\]: give descending counts"),
        ({"partition": [1000]}, r"it leaves 1 subset\(s\) of classes; at least 2 are needed"),
        (
            {"subset": {"head": {}}},
            r"experts.subset.head: there is no such expert; there are many, medium, few. .*subset=\{\}",
        ),
    ],
)
def test_a_partition_that_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        partition(COUNTS, **config)


RNG = np.random.default_rng(0)
GIVEN_CLASS = RNG.dirichlet(np.ones(12), size=6)
"""p(x | k): float[6, 12], six classes, twelve things to see. The expert's classes are the first two."""

INSIDE, CLASSES = 2, 6


def softmax(logits: torch.Tensor) -> np.ndarray:
    return logits.detach().softmax(dim=1).double().numpy()


def posterior(weights: np.ndarray) -> np.ndarray:
    """p(0 | x), p(1 | x), p(any other | x) by Bayes' rule for class weights float[6]: float[12, 3]."""
    joint = weights[:, None] * GIVEN_CLASS
    parts = np.vstack([joint[:INSIDE], joint[INSIDE:].sum(axis=0)]).T
    return parts / parts.sum(axis=1, keepdims=True)


def corrected(shown: np.ndarray, method: Experts, inside: int, outside: int, used: int) -> np.ndarray:
    """The posterior of a perfect expert trained on what was shown, float[12, 3], after its correction."""
    head = RejectHead(3, 3)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3))
        head.bias.zero_()
    head.correction.fill_(method.correction(INSIDE, CLASSES, inside, outside, used, inside / used))
    features = torch.tensor(np.log(shown), dtype=torch.float32)
    assert np.allclose(softmax(head.train()(features)), shown, atol=1e-5), "in training there is no correction"
    with torch.no_grad():
        return softmax(head.eval()(features))


def test_balanced_correction_gives_the_posterior_of_a_balanced_test_set() -> None:
    """Brute force: 300 samples of each inside class, 40 of each outside class of which a quarter is shown."""
    inside, outside, used = 2 * 300, 4 * 40, 40
    shown = posterior(np.array([300, 300, 10, 10, 10, 10]))
    found = corrected(shown, experts(correction="balanced"), inside, outside, used)
    assert np.allclose(found, posterior(np.ones(6)), atol=1e-5)


def test_available_correction_gives_the_posterior_of_the_long_tailed_training_set() -> None:
    counts = np.array([300, 200, 80, 40, 20, 10])
    outside, used = 150, 30
    shown = posterior(counts * np.array([1, 1, 0.2, 0.2, 0.2, 0.2]))
    found = corrected(shown, experts(correction="available"), 500, outside, used)
    assert np.allclose(found, posterior(counts), atol=1e-5)


def test_the_other_corrections_are_what_they_say() -> None:
    shown = posterior(np.array([5, 4, 1, 1, 1, 1]))
    assert np.allclose(corrected(shown, experts(correction="none"), 9, 40, 4), shown, atol=1e-5)
    official = experts(correction="official").correction(INSIDE, CLASSES, 9, 40, 4, ratio=16)
    assert official == pytest.approx(math.log(8.5))
    assert official > 0


def positions(context: FakeContext, classes: torch.Tensor) -> set[int]:
    return set(torch.isin(context.train_split.labels, classes).nonzero().flatten().tolist())


@pytest.mark.parametrize("ratio", [16.0, 8.0, 0.01, 1e6])
def test_an_epoch_holds_every_inside_sample_and_a_share_of_the_others(ratio: float) -> None:
    context = FakeContext(COUNTS, stages=["baseline"])
    method = experts(reject_ratio=ratio)
    members = method.build(context)
    method.fit(context, members)
    for member, asked in zip(members, context.trained, strict=True):
        inside = positions(context, member.classes)
        outside = sum(COUNTS) - len(inside)
        used = max(1, min(outside, round(len(inside) / ratio)))
        first, second = epochs(asked["sampler"], 2)
        assert sorted(first.tolist()) == sorted(second.tolist()), "drawn once"
        drawn = set(first.tolist())
        assert len(first) == len(drawn) == len(inside) + used
        assert inside < drawn
        expected = math.log((8 - len(member.classes)) / len(member.classes)) - math.log(used / len(inside))
        assert float(member.head.correction) == pytest.approx(expected, rel=1e-5)


def test_a_subset_may_have_a_reject_ratio_of_its_own() -> None:
    """As for Places-LT in the authors' code: 16, and 8 for Medium and Few."""
    context = FakeContext(COUNTS, stages=["baseline"])
    method = experts(reject_ratio=16, correction="official", subset={"medium": {"reject_ratio": 8}})
    members = method.build(context)
    method.fit(context, members)
    for member, asked, ratio in zip(members, context.trained, [16, 8, 16], strict=True):
        inside = positions(context, member.classes)
        assert len(asked["sampler"]) == len(inside) + round(len(inside) / ratio)
        assert float(member.head.correction) == pytest.approx(math.log((1 + ratio) / 2))


def test_the_reject_class_can_be_drawn_afresh_each_epoch() -> None:
    context = FakeContext(COUNTS, stages=["baseline"])
    method = experts(redraw=True)
    method.fit(context, method.build(context))
    first, second = epochs(context.trained[0]["sampler"], 2)
    assert len(first) == len(second)
    assert set(first.tolist()) != set(second.tolist())


@pytest.mark.parametrize("ood", ["reject", "outlier_exposure"])
def test_validation_holds_the_subset_and_as_many_others_for_the_reject_class(ood: str) -> None:
    context = FakeContext(COUNTS, stages=["baseline"])
    method = experts(ood=ood)
    members = method.build(context)
    method.fit(context, members)
    for member, asked in zip(members, context.trained, strict=True):
        validation = asked["validation"]
        labels = context.val_split.labels[validation.indices].tolist()
        of_class = {label: position for position, label in enumerate(member.classes.tolist())}
        assert validation.targets.tolist() == [of_class.get(label, len(of_class)) for label in labels]
        inside = sum(label in of_class for label in labels)
        assert inside == 5 * len(of_class)
        assert len(labels) == (2 * inside if ood == "reject" else inside)
        assert len(set(validation.indices.tolist())) == len(labels)


def test_outlier_exposure_is_the_formula() -> None:
    """E_in[-log p_y] + lambda E_out[-(1/K) sum_k log p_k]."""
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(size=(7, 3)), np.array([0, -1, 2, 1, -1, -1, 0])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    inside = np.mean([-np.log(p[row, target]) for row, target in enumerate(targets) if target >= 0])
    outside = np.mean([-np.log(p[row]).mean() for row, target in enumerate(targets) if target < 0])
    method = experts(ood="outlier_exposure", oe_weight=0.7)
    found = method.outlier_exposure(torch.tensor(logits), torch.tensor(targets))
    assert float(found) == pytest.approx(inside + 0.7 * outside)


@pytest.mark.parametrize("kind", ["inside", "outside"])
def test_a_batch_of_one_kind_has_a_loss_with_a_gradient(kind: str) -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    targets = torch.tensor([0, 1, 2, 0]) if kind == "inside" else torch.full((4,), -1)
    experts(ood="outlier_exposure").outlier_exposure(logits, targets).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.any()


def test_outlier_exposure_has_no_reject_logit_and_mixes_every_batch() -> None:
    context = FakeContext(COUNTS, stages=["baseline"])
    method = experts(ood="outlier_exposure", optim={"batch_size": 20})
    members = method.build(context)
    method.fit(context, members)
    for member, asked in zip(members, context.trained, strict=True):
        assert member.outside == "zero"
        assert member.head(torch.zeros(1, 4)).shape == (1, len(member.classes))
        assert isinstance(asked["sampler"], MixedBatchSampler)
        assert asked["loss"] == method.outlier_exposure
        inside = positions(context, member.classes)
        for batch in epochs(asked["sampler"], 1)[0].split(20):
            shares = [position in inside for position in batch.tolist()]
            assert any(shares)
            assert not all(shares)


@pytest.mark.parametrize("head_init", ["copy", "new"])
def test_rows_of_the_baseline_s_classifier_are_copied_if_asked(head_init: str) -> None:
    context = FakeContext(COUNTS, stages=["baseline"])
    method = experts(head_init=head_init)
    members = method.build(context)
    method.fit(context, members)
    (baseline,) = context.stage("baseline")
    for member in members:
        known = len(member.classes)
        for name, parameter in member.head.named_parameters():
            rows = getattr(baseline.head, name)
            assert len(parameter) == known + 1
            assert torch.equal(parameter[:known], rows[member.classes]) == (head_init == "copy")
            assert not any(torch.equal(parameter[known], row) for row in rows), "the reject row is always new"
        for name, value in baseline.backbone.state_dict().items():
            assert torch.equal(member.backbone.state_dict()[name], value)


def test_of_several_candidates_validation_chooses_and_its_weights_are_kept() -> None:
    accuracy = {1: 40.0, 2: 70.0, None: 60.0}

    def answer(members: list[Any], arguments: dict[str, Any]) -> float:
        """Leaves the number of learnable blocks in the bias, as a trace."""
        blocks = arguments["learnable_blocks"]
        nn.init.constant_(members[0].head.bias, -1.0 if blocks is None else blocks)
        return accuracy[blocks]

    context = FakeContext(COUNTS, stages=["baseline"], answer=answer)
    method = experts(learnable_blocks=[1, 2, "all"], subset={"many": {"learnable_blocks": "all"}})
    members = method.build(context)
    method.fit(context, members)
    assert [asked["label"] for asked in context.trained[:4]] == [
        "many",
        "medium blocks=1",
        "medium blocks=2",
        "medium blocks=all",
    ]
    assert [member.head.bias[0].item() for member in members] == [-1.0, 2.0, 2.0]
    assert [entry["learnable_blocks"] for entry in context.logged] == ["all", 2, 2]
    assert [entry["best_accuracy"] for entry in context.logged] == [60.0, 70.0, 70.0]


def test_each_expert_has_its_own_settings() -> None:
    context = FakeContext(COUNTS, stages=["baseline"])
    method = experts(
        learnable_blocks=3,
        optim={"epochs": 9, "lr": 0.3},
        subset={"few": {"learnable_blocks": 1, "optim": {"lr": 0.7}}},
    )
    method.fit(context, method.build(context))
    found = [(asked["learnable_blocks"], asked["optim"].epochs, asked["optim"].lr) for asked in context.trained]
    assert found == [(3, 9, 0.3), (3, 9, 0.3), (1, 9, 0.7)]


# What follows trains, a few seconds in all.


def weights(answer: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """Method -> the weights of its stage."""
    return {stage["method"]: load_file(Path(stage["folder"]) / "weights.safetensors") for stage in answer["stages"]}


def trained(ltb, *arguments: str) -> dict[str, Any]:
    done = ltb("run", "-m", "experts", "-f", "soft", *arguments, "--json")
    assert done.code == 0, done.err
    answer: dict[str, Any] = json.loads(done.out)
    return answer


def test_frozen_blocks_end_as_the_baseline_s_and_the_others_do_not(ltb) -> None:
    """The recipe: all blocks of the many-shot expert learn, the head and the last stage of the others."""
    stored = weights(trained(ltb, *TINY_EXPERTS))
    for name, value in stored["baseline"].items():
        layer = name.removeprefix("all.backbone.trunk.")
        if layer == name or value.ndim == 0:
            continue
        for expert in ("many", "medium", "few"):
            learns = expert == "many" or layer.startswith("layer4")
            same = torch.equal(stored["experts"][f"{expert}.backbone.trunk.{layer}"], value)
            assert same != learns, f"{expert} {layer}"


def test_experts_with_a_frozen_backbone_share_the_baseline_s_features(ltb, own_cache: Path) -> None:
    head_only = settings(experts={"learnable_blocks": 1, "subset": {"many": {"learnable_blocks": 1}}})
    stored = weights(trained(ltb, *TINY_EXPERTS, *head_only))
    for name, value in stored["baseline"].items():
        if ".backbone." in name:
            for expert in ("many", "medium", "few"):
                assert torch.equal(stored["experts"][name.replace("all.", f"{expert}.", 1)], value), name
    assert len(list(own_cache.glob("features/test-*"))) == 1, "computed once, for the baseline"


def test_more_blocks_than_there_are_is_one_line(ltb) -> None:
    done = ltb("run", "-m", "experts", "-f", "soft", *TINY_EXPERTS, *settings(experts={"learnable_blocks": 9}))
    assert done.code == 2
    assert (
        "learnable_blocks = 9: this backbone has 5 blocks below the head; use 1 (the head alone) to 6, or 'all'."
        in done.err
    )


OTHER_EXPERTS = """
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.experts import Experts

@hookimpl
def ltbench_methods():
    yield MethodSpec("halves", target="other_experts:Halves", requires=("baseline",), partial=True)

class Halves(Experts):
    def partition(self, context):
        order = context.classes.train_counts.argsort(descending=True)
        half = len(order) // 2
        return {"head": order[:half].sort().values, "tail": order[half:].sort().values}
"""


def test_somebody_s_own_experts_run_beside_these_and_as_outlier_exposure(ltb, tmp_path: Path) -> None:
    (tmp_path / "other_experts.py").write_text(OTHER_EXPERTS)
    own = settings(halves={"ood": "outlier_exposure", "optim": {"epochs": 1, "batch_size": 32}})
    methods = ("-m", "experts", "-m", "halves")
    done = ltb("--plugin", tmp_path / "other_experts.py", "run", *methods, "-f", "soft", *TINY_EXPERTS, *own, "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)["records"][-1]
    assert [(member["name"], member["outside"]) for member in record["members"]] == [
        ("experts/many", "reject"),
        ("experts/medium", "reject"),
        ("experts/few", "reject"),
        ("halves/head", "zero"),
        ("halves/tail", "zero"),
    ]


def test_a_recipe_s_exceptions_can_be_dropped_for_another_partition(ltb) -> None:
    changes = settings(experts={"partition": 2, "subset": {}, "optim": {"epochs": 1, "batch_size": 32, "min_steps": 0}})
    record = trained(ltb, *TINY, *changes)["records"][-1]
    assert [(member["name"], member["num_classes"]) for member in record["members"]] == [
        ("experts/subset1", 5),
        ("experts/subset2", 4),
    ]
