"""FSLwF: generated weights by hand; episodes ask about no exemplar; the network never sees a Few-shot image."""

import numpy as np
import pytest
import torch
from ltbench_zoo.few_shot_head import FewShotHead
from ltbench_zoo.fslwf import FSLwF
from methods.drawn import long_tailed

from ltbench.errors import UsageError
from ltbench.method import Member
from ltbench.testing import FakeContext

COUNTS = [150, 40, 30, 8, 6]
"""Base classes 0 to 2, novel ones 3 and 4."""


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def drawn_head() -> FewShotHead:
    torch.manual_seed(1)
    head = FewShotHead(3, 5, scale=10.0, attention_scale=30.0)
    for parameter in (head.phi_avg, head.phi_att, head.query.weight, head.query.bias):
        torch.nn.init.normal_(parameter)
    return head


def generated(head: FewShotHead, exemplars: np.ndarray, base: list[int]) -> np.ndarray:
    """The weights of one class."""
    w = {name: value.detach().double().numpy() for name, value in head.state_dict().items()}
    z = unit(exemplars)
    attended = []
    for one in z:
        scores = w["attention_scale"] * unit(w["keys"][base]) @ unit(w["query.weight"] @ one + w["query.bias"])
        share = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        attended.append(share @ unit(w["weight"][base]))
    return w["phi_avg"] * z.mean(axis=0) + w["phi_att"] * np.mean(attended, axis=0)


def test_weights_are_made_by_averaging_and_by_attention_over_the_base_classes() -> None:
    head, features = drawn_head(), torch.randn(6, 3)
    targets = torch.tensor([4, 3, 4, 3, 4, 4])
    made, classes = head.generate(features, targets, torch.tensor([True, False, True, False, False]))
    assert classes.tolist() == [3, 4]
    for row, number in enumerate([3, 4]):
        expected = generated(head, features[targets == number].double().numpy(), [0, 2])
        assert np.allclose(made[row].detach(), expected, atol=1e-4)


def test_logits_are_scaled_cosines() -> None:
    head, features = drawn_head(), torch.randn(6, 3)
    expected = 10 * unit(features.numpy()) @ unit(head.weight.detach().numpy()).T
    assert np.allclose(head(features).detach(), expected, atol=1e-5)
    assert torch.equal(head.compare(features, head.weight), head(features))
    assert head.scale.requires_grad


def trained() -> tuple[FSLwF, FakeContext, Member]:
    features, labels = long_tailed(COUNTS, views=5)
    context, method = FakeContext(labels=labels, features=features), FSLwF()
    (member,) = members = method.build(context)
    method.fit(context, members)
    return method, context, member


def test_only_base_classes_are_trained_on_and_selected_on() -> None:
    """A Few-shot image in stage 1 would make the network another one, and the comparison meaningless."""
    _, context, _ = trained()
    network, episodes = context.trained
    labels = context.train_split.labels
    seen = labels[network["sampler"].indices(0, torch.Generator().manual_seed(0))]
    assert torch.bincount(seen).tolist() == COUNTS[:3]
    assert torch.bincount(episodes["labels"]).tolist() == COUNTS[:3]
    assert episodes["features"].shape[1] == sum(COUNTS[:3])
    for asked in (network, episodes):
        assert asked["validation"].targets.unique().tolist() == [0, 1, 2]
        assert torch.equal(context.val_split.labels[asked["validation"].indices], asked["validation"].targets)


def test_the_generator_waits_for_the_second_stage() -> None:
    """Parameters that learn but take no part in the loss end a training on two processes."""
    features, labels = long_tailed(COUNTS, views=5)
    learning: list[set[str]] = []

    def answer(members: list[Member], arguments: dict[str, object]) -> float:
        named = members[0].head.named_parameters()
        learning.append({name for name, parameter in named if parameter.requires_grad})
        return 0.0

    context, method = FakeContext(labels=labels, features=features, answer=answer), FSLwF()
    method.fit(context, members := method.build(context))
    assert learning == [{"weight", "scale"}, {name for name, _ in members[0].head.named_parameters()}]


def test_logits_of_novel_classes_play_no_part_in_the_first_stage() -> None:
    _, context, _ = trained()
    logits, targets = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    loss = context.trained[0]["loss"]
    assert torch.equal(loss(logits, targets), loss(logits + torch.tensor([0, 0, 0, 7.0, -7.0]), targets))


def test_few_shot_weights_are_made_of_all_their_training_images() -> None:
    _, context, member = trained()
    plain, labels = context.features(None, "train")[0], context.train_split.labels
    for number in (3, 4):
        expected = generated(member.head, plain[labels == number].double().numpy(), [0, 1, 2])
        assert np.allclose(member.head.weight[number].detach(), expected, atol=1e-4)


def test_an_episode_by_hand() -> None:
    """Exemplars are not asked about: that would teach the generator to repeat what it was shown."""
    method, context, member = trained()
    head, labels = member.head, context.train_split.labels
    indices = torch.cat([(labels == number).nonzero().flatten()[:7] for number in (0, 1)])
    features = torch.randn(14, 3, generator=torch.Generator().manual_seed(8))
    step = context.step(member, indices, views=[features])
    novel = int(torch.randperm(2, generator=context.generator("step 0"))[0])
    own = (step.targets == novel).nonzero().flatten()
    weight = head.weight.detach().double().numpy().copy()
    weight[novel] = generated(head, features[own[:5]].double().numpy(), [k for k in range(3) if k != novel])
    asked = [place for place in range(14) if place not in own[:5].tolist()]
    logits = head.scale.item() * unit(features[asked].double().numpy()) @ unit(weight).T[:, :3]
    picked = logits[np.arange(len(asked)), step.targets[asked].numpy()]
    expected = (np.log(np.exp(logits).sum(axis=1)) - picked).mean()
    assert method.episode(step).item() == pytest.approx(expected, abs=1e-4)


def test_a_data_set_of_few_shot_classes_alone_is_refused() -> None:
    features, labels = long_tailed([8, 6], views=5)
    context, method = FakeContext(labels=labels, features=features), FSLwF()
    with pytest.raises(UsageError, match="needs classes that are not Few-shot"):
        method.fit(context, method.build(context))
