"""What is said of a sample must not depend on others: what is found, what is let pass, and who sees which order."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import BASELINE, DATA, settings
from torch import Tensor, nn

from ltbench.classes import classes_of
from ltbench.data.base import Split, TensorSplit
from ltbench.data.guard import no_test_split
from ltbench.engine.evaluation.evaluate import Measured, make_fuser
from ltbench.engine.evaluation.independence import BATCH, FewSamples, check_members, differ
from ltbench.engine.evaluation.inference import HEAD_CHUNK, apply_head
from ltbench.engine.evaluation.order import drawn_order, put_back
from ltbench.engine.workbench import Workbench
from ltbench.errors import LtbenchError, PluginError
from ltbench.fuser import Fuser, MemberLogits
from ltbench.method import Member
from ltbench.results.logits import LogitsFolder, SplitLogits
from ltbench.testing.method_contract import Patterns, workbench

Members = list[MemberLogits]


# -- the order


def test_the_order_is_a_permutation_drawn_from_the_fingerprint_and_the_split() -> None:
    order = drawn_order("abc", "test", 1000)
    assert torch.equal(order.sort().values, torch.arange(1000))
    assert torch.equal(order, drawn_order("abc", "test", 1000))
    assert not torch.equal(order, drawn_order("abd", "test", 1000))
    assert not torch.equal(order, drawn_order("abc", "val", 1000))
    rows = torch.rand(1000, 3)
    assert torch.equal(put_back(rows[order], order), rows)


class Watched(nn.Module):
    """Notes the sum of each row that it sees."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.seen: list[float] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen += inputs.sum(dim=1).tolist()
        return self.inner(inputs)


def numbered(samples: int) -> TensorSplit:
    """Image k holds k everywhere, and is of class k // 8: in class order."""
    images = torch.arange(samples, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 16, 16).contiguous()
    return TensorSplit(images, torch.arange(samples) // 8)


def member(bench: Workbench, head: nn.Module | None = None) -> Member:
    backbone = bench.new_backbone("toy").eval()
    torch.manual_seed(0)
    return Member("all", torch.arange(6), backbone, head or nn.Linear(backbone.num_features, 6))


@pytest.mark.parametrize("name", ["val", "test"])
def test_images_and_features_are_seen_in_the_drawn_order_and_answered_for_in_the_split_s(
    tmp_path: Path, name: str
) -> None:
    bench, split = workbench(tmp_path), numbered(48)
    one = member(bench)
    plain = bench.augment.plain(split.images)
    with torch.no_grad():
        expected = one.module(plain)
    one.head = Watched(one.head)
    images: list[float] = []
    one.backbone.register_forward_pre_hook(lambda module, inputs: images.extend(inputs[0][:, 0, 0, 0].tolist()))
    (logits,) = bench.features.logits([one], name, split)

    order = drawn_order(bench.features.fingerprint, name, 48)
    assert images == plain[order, 0, 0, 0].tolist()
    with torch.no_grad():
        features = one.backbone(plain)
    torch.testing.assert_close(torch.tensor(one.head.seen), features[order].sum(dim=1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bench.features.get(one.backbone, name, split), features, rtol=1e-4, atol=1e-4)


def test_the_head_answers_in_eval_mode(tmp_path: Path) -> None:
    """Whatever mode it was left in: BatchNorm by what it has learned, nothing dropped, in any order."""
    compute = workbench(tmp_path).compute
    head = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    head[0].running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    head[0].running_var.copy_(torch.tensor([4.0, 1.0, 0.25]))
    features = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    expected = (features - torch.tensor([1.0, 2.0, 3.0])) / torch.tensor([2.0, 1.0, 0.5])
    for order in (None, drawn_order("", "test", 50)):
        head.train()
        torch.testing.assert_close(apply_head(head, features, compute, order), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(head[0].running_mean, torch.tensor([1.0, 2.0, 3.0])), "nothing was learned of what was evaluated"


# -- members


class OfBatch(nn.Module):
    """A linear head and then something that its batch has a part in."""

    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.what = nn.Linear(32, 6), what

    def forward(self, features: Tensor) -> Tensor:
        return self.what(self.inner(features))


def first_logit_is_the_row(logits: Tensor) -> Tensor:
    return logits + torch.arange(len(logits)).to(logits)[:, None] * torch.eye(6)[0]


COUPLED = {
    "normalised by the batch": lambda logits: (logits - logits.mean(dim=0)) / (logits.std(dim=0, correction=0) + 1e-3),
    "less the mean of the batch": lambda logits: logits - logits.mean(dim=0),
    "smoothed over the neighbours": lambda logits: logits + torch.roll(logits, 1, dims=0),
    "by the place in the batch": first_logit_is_the_row,
    "sorted by confidence": lambda logits: logits[logits.max(dim=1).values.argsort()],
    "in large batches alone": lambda logits: logits - logits.mean(dim=0) * (len(logits) > 20),
    "below a common offset": lambda logits: logits - logits.mean(dim=0) + 1e5,
    "beside a class that is never meant": lambda logits: logits - logits.mean(dim=0) - 1e5 * torch.eye(6)[0],
    "by chance": lambda logits: nn.functional.dropout(logits, 0.5),
}


@pytest.mark.parametrize("name", COUPLED)
def test_a_head_that_needs_its_batch_is_found(tmp_path: Path, name: str) -> None:
    """Among the logits that were stored, and when it was just trained."""
    bench = workbench(tmp_path)
    one, few = member(bench, OfBatch(COUPLED[name])), FewSamples("val", bench.val, bench.features)
    (stored,) = bench.features.logits([one], "val", bench.val)
    for logits in ([stored[few.chosen]], None):
        with pytest.raises(PluginError, match="^method 'toy': the logits of member 'all' for a val sample depend on"):
            check_members("toy", [one], few, logits)


def test_a_backbone_that_stays_in_training_mode_is_found(tmp_path: Path) -> None:
    bench = workbench(tmp_path)
    one = member(bench)
    one.backbone.train()
    one.backbone.train = one.backbone.eval = lambda *_: one.backbone  # type: ignore[method-assign]
    with pytest.raises(PluginError, match="depend on the other samples of its batch"):
        check_members("toy", [one], FewSamples("val", bench.val, bench.features))


def test_features_in_the_cache_that_are_not_the_backbone_s_are_found(tmp_path: Path) -> None:
    bench = workbench(tmp_path)
    one, few = member(bench), FewSamples("val", bench.val, bench.features)
    bench.features.get(one.backbone, "val", bench.val).mul_(2)
    (stored,) = bench.features.logits([one], "val", bench.val)
    with pytest.raises(PluginError):
        check_members("toy", [one], few, [stored[few.chosen]])


@pytest.mark.parametrize("samples", [1, 2, 3, 48])
def test_an_ordinary_member_passes_on_any_number_of_samples(tmp_path: Path, samples: int) -> None:
    bench = workbench(tmp_path)
    split: Split = TensorSplit(bench.val.images[:samples], bench.val.labels[:samples])
    few = FewSamples("val", split, bench.features)
    ordinary = [
        member(bench),
        member(bench, nn.Sequential(nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 6))),
        member(bench, OfBatch(lambda logits: logits + 1e5)),
        Member("one", torch.tensor([2]), bench.new_backbone("toy"), nn.Linear(32, 1), "zero"),
    ]
    logits = bench.features.logits(ordinary, "val", split)
    check_members("toy", ordinary, few, [values[few.chosen] for values in logits])
    check_members("toy", ordinary, few)


def test_few_samples_are_drawn_and_their_batches_are_small(tmp_path: Path) -> None:
    bench = workbench(tmp_path)
    few = FewSamples("val", numbered(200), bench.features)
    assert len(few) == 127
    assert len(set(few.chosen.tolist())) == 127
    head = Watched(nn.Linear(32, 6))
    sizes: list[int] = []
    head.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    one = member(bench, head)
    assert few.logits(one, BATCH).shape == (127, 6)
    assert sizes == [7] * 18 + [1]
    assert BATCH < HEAD_CHUNK


@pytest.mark.parametrize(("precision", "passes"), [("fp32", False), ("bf16", True), ("fp16", True)])
def test_what_rounding_in_half_precision_does_is_let_pass(precision: str, passes: bool) -> None:
    """Logits of 300 classes that are off by 2 % of the largest."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(127, 300, generator=generator) * 4
    logits[torch.arange(127), torch.arange(127)] += 20
    noise = logits.abs().max() * 0.02 * (2 * torch.rand(127, 300, generator=generator) - 1)
    assert differ(logits + noise, logits, precision) is not passes
    assert not differ(logits + noise / 100, logits, precision)


def test_an_offset_hides_no_difference_and_an_offset_of_its_own_is_one() -> None:
    """Sharper answers below a large offset; and rows that are shifted as a whole, which fusers may see."""
    logits = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    assert differ(1.5 * logits + 1e5, logits + 1e5, "fp32")
    assert differ(logits + torch.arange(20.0)[:, None], logits, "fp32")


def test_logits_that_are_not_finite_are_no_match() -> None:
    assert differ(torch.tensor([[torch.nan, 1.0]]), torch.tensor([[0.0, 1.0]]), "fp32")


# -- fusers


def content(samples: int = 60, num_classes: int = 6, fingerprint: str = "f" * 64) -> LogitsFolder:
    """One full member, in class order."""

    def split(seed: int) -> SplitLogits:
        labels = torch.arange(samples) * num_classes // samples
        logits = torch.randn(samples, num_classes, generator=torch.Generator().manual_seed(seed))
        logits[torch.arange(samples), labels] += 1.5
        return SplitLogits(
            [MemberLogits("mine/all", "mine", torch.arange(num_classes), "none", logits)], labels, torch.arange(samples)
        )

    return LogitsFolder(
        num_classes, np.full(num_classes, 9), split(1), split(2), {"name": "mine", "fingerprint": fingerprint}
    )


class Plain(Fuser):
    """The softmax of one member; notes the rows that it is given."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.fitted: Any = None
        self.asked: list[Tensor] = []

    def learn(self, members: Members, labels: Tensor) -> None:
        self.fitted = members[0].logits, labels

    def fuse(self, members: Members) -> Tensor:
        self.asked.append(members[0].logits)
        return self.answer(members[0].logits.log_softmax(dim=1))

    def answer(self, log_q: Tensor) -> Tensor:
        return log_q


@pytest.mark.parametrize("fingerprint", ["f" * 64, ""])
def test_a_fuser_gets_rows_in_a_drawn_order_and_is_measured_in_the_content_s(fingerprint: str) -> None:
    folder, fuser = content(fingerprint=fingerprint), Plain(6)
    measured = Measured(fuser, folder)
    val, test = (drawn_order(fingerprint, name, 60) for name in ("val", "test"))
    assert torch.equal(fuser.fitted[0], folder.val.members[0].logits[val])
    assert torch.equal(fuser.fitted[1], folder.val.labels[val])
    assert torch.equal(fuser.asked[-1], folder.test.members[0].logits[test])
    expected = folder.test.members[0].logits.log_softmax(dim=1)
    assert torch.equal(measured.log_posterior, expected)
    assert torch.equal(measured.labels, folder.test.labels)
    assert measured.correct.tolist() == (expected.argmax(dim=1) == folder.test.labels).tolist()
    assert not measured.transductive


def test_it_is_asked_about_a_few_rows_before_it_sees_all(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Plain(6)
    Measured(few, content(60))
    assert [len(rows) for rows in few.asked] == [30, 1, 60]
    many = Plain(6)
    Measured(many, content(1200))
    assert [len(rows) for rows in many.asked] == [256, 1, 1200]
    alone = Plain(1)
    Measured(alone, content(1, 1))
    assert [len(rows) for rows in alone.asked] == [1, 1, 1]


class Flat(Plain):
    """Every probability is about 1 / C: only the predictions tell that it looks at the neighbours."""

    def answer(self, log_q: Tensor) -> Tensor:
        return (1e-4 * (log_q + torch.roll(log_q, 1, dims=0) + torch.roll(log_q, 2, dims=0))).log_softmax(dim=1)


class PriorOfTheSplit(Plain):
    """Divides by the mean posterior of all rows: no order matters."""

    def answer(self, log_q: Tensor) -> Tensor:
        return (log_q - log_q.exp().mean(dim=0).log()).log_softmax(dim=1)


class AsSureAsTheOthers(Plain):
    """Predicts what it should; how sure it is depends on the other rows."""

    def answer(self, log_q: Tensor) -> Tensor:
        return (log_q * (1 + log_q.max(dim=1).values.exp().mean())).log_softmax(dim=1)


class Drawn(Plain):
    def answer(self, log_q: Tensor) -> Tensor:
        return (log_q + torch.randn(log_q.shape)).log_softmax(dim=1)


class Remembers(Plain):
    """Gives a row the answer that it got when all were there."""

    def answer(self, log_q: Tensor) -> Tensor:
        if len(log_q) > 30:
            self.kept = {row.numpy().tobytes(): number for number, row in enumerate(log_q)}
        if hasattr(self, "kept"):
            numbers = [self.kept[row.numpy().tobytes()] * 6 // 60 for row in log_q]
            return nn.functional.one_hot(torch.tensor(numbers), 6).float().mul(9).log_softmax(dim=1)
        return log_q


class OneRowTooMany(Plain):
    def answer(self, log_q: Tensor) -> Tensor:
        return log_q if len(log_q) == 60 else torch.cat([log_q, log_q[:1]])


@pytest.mark.parametrize("cls", [Flat, AsSureAsTheOthers, PriorOfTheSplit, Drawn, Remembers, OneRowTooMany])
def test_a_fuser_that_needs_other_rows_is_found(cls: type[Plain]) -> None:
    with pytest.raises(PluginError, match=f"^fuser '{cls.__name__}': the posterior of a sample depends on"):
        Measured(cls(6), content())


@pytest.mark.parametrize("name", ["soft", "joint", "temperature", "none"])
def test_shipped_fusers_pass_also_where_all_probabilities_are_small(name: str) -> None:
    Measured(make_fuser(name, classes_of([9] * 200)), content(1000, 200))


# -- the test split


@pytest.fixture
def patterns() -> Patterns:
    return Patterns()


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(PluginError) as caught:
        act()
    return str(caught.value)


def test_no_test_split_is_opened_meanwhile_and_every_other_is(patterns: Patterns) -> None:
    with no_test_split("method 'x' is trained"):
        assert len(patterns.split("train")) == 318
        assert len(patterns.split(name="val")) == 48
        assert patterns.train_counts.tolist() == [120, 100, 50, 30, 12, 6]
        for act in (
            lambda: patterns.split("test"),
            lambda: patterns.split(name="test"),
            lambda: Inheriting().split("test"),
        ):
            assert refused(act).startswith(
                "the test split of 'patterns' was opened while method 'x' is trained: that split is"
            )
    assert len(patterns.split("test")) == 54


class Inheriting(Patterns):
    """A plugin's dataset, with a ``split`` of its own."""

    def split(self, name: str) -> TensorSplit:
        return super().split(name)


class UnderAnotherName(Patterns):
    def split(self, name: str) -> TensorSplit:
        return super().split("test" if name == "secret" else name)


def test_another_name_does_not_help() -> None:
    with no_test_split("method 'x' is trained"):
        refused(lambda: UnderAnotherName().split("secret"))


def test_it_holds_in_every_thread_nests_and_ends_with_an_error(patterns: Patterns) -> None:
    with no_test_split("method 'x' is trained"):
        with suppress(ValueError), no_test_split("method 'y' is built"):
            assert "while method 'y' is built" in refused(lambda: patterns.split("test"))
            raise ValueError("on purpose")
        assert "while method 'x' is trained" in refused(lambda: patterns.split("test"))
        found: list[object] = []

        def open_it() -> None:
            try:
                found.append(patterns.split("test"))
            except LtbenchError as error:
                found.append(error)

        thread = threading.Thread(target=open_it)
        thread.start()
        thread.join()
        assert isinstance(found[0], PluginError)
    patterns.split("test")


class Peeping(Plain):
    """Opens the test split when it is fitted, or when it is applied."""

    at = 0

    def learn(self, members: Members, labels: Tensor) -> None:
        if self.at == 0:
            Patterns().split("test")

    def answer(self, log_q: Tensor) -> Tensor:
        if self.at == 1:
            Patterns().split("test")
        return log_q


@pytest.mark.parametrize("at", [0, 1])
def test_a_fuser_opens_no_test_split(at: int) -> None:
    fuser = Peeping(6)
    fuser.at = at
    assert "while fuser 'Peeping' is fitted and applied" in refused(lambda: Measured(fuser, content()))


def test_a_member_opens_no_test_split_when_it_is_evaluated(ltb, plugin_file, own_cache: Path) -> None:
    path = plugin_file("peeping_head", PEEPING_HEAD)
    done = ltb("--plugin", path, "run", "-m", "peeping", *DATA, *settings(peeping=BASELINE), "--no-controls")
    assert done.code == 3
    assert "the test split of 'glyphs-lt' was opened while members of 'peeping' are evaluated" in done.err


PEEPING_HEAD = """
import ltbench
from torch import nn
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline

@hookimpl
def ltbench_methods():
    yield MethodSpec("peeping", target="peeping_head:Peeping", recipe="baseline")

class Head(nn.Linear):
    def forward(self, features):
        if len(features) == 90:
            ltbench.get_dataset("glyphs-lt").split("test")
        return super().forward(features)

class Peeping(Baseline):
    def head(self, num_features, num_classes):
        return Head(num_features, num_classes)
"""
