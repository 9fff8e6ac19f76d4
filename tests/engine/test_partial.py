"""A method that needs a fuser says so (``MethodSpec.partial``); what cannot be evaluated is refused before it is trained."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tiny import TINY_EXPERTS

from ltbench.engine.context import try_heads
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.run import Engine
from ltbench.errors import PluginError, UsageError
from ltbench.registry import manager
from ltbench.settings.recipes import resolve
from ltbench.testing import check_method

METHODS = """
import torch
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline
from ltbench_methods.experts import Experts

@hookimpl
def ltbench_methods():
    for name, base in (("declared", "experts"), ("undeclared", "experts"), ("failing", "baseline"), ("narrow", "baseline"),
                       ("reject", "experts")):
        yield MethodSpec(name, target="early_methods:" + name.title(), requires=("baseline",), recipe=base,
                         partial=name in ("declared", "reject"))
    yield MethodSpec("student", target="early_methods:Student", requires=("declared",), recipe="baseline")
    yield MethodSpec("whole", target="early_methods:Whole", recipe="baseline", partial=True)

class Declared(Experts): pass

class Undeclared(Experts): pass

class Whole(Baseline): pass

class Failing(Baseline):
    def build(self, context):
        raise OSError("no word vectors")

class Narrow(Baseline):
    def head(self, num_features, num_classes):
        return super().head(num_features, 5)

class Reject(Experts):
    def build(self, context):
        members = super().build(context)
        for member in members:
            member.head = torch.nn.Linear(member.backbone.num_features, len(member.classes))
        return members

class Student(Baseline):
    pass
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "early_methods.py"
    file.write_text(METHODS)
    return file


@pytest.fixture
def planned(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Engine]:
    """An engine for these methods, without a fuser unless some are given; nothing is trained yet."""
    monkeypatch.setattr(manager, "_files", ())
    monkeypatch.setattr(manager, "_loaded", None)
    manager.use_plugin_files([plugin])

    def plan(*methods: str, fusers: Sequence[str] = ()) -> Engine:
        overrides = [*TINY_EXPERTS[1::2], f"fusers={list(fusers)}"]
        unused = [text for text in overrides if text.startswith("experts.") and "experts" not in methods]
        return Engine(
            resolve(methods=methods, overrides=[o for o in overrides if o not in unused]), Reporter(quiet=True)
        )

    return plan


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["experts"], r"^the members of method 'experts' must be fused, .* with --fuser \(.*joint"),
        (
            ["baseline", "uniform"],
            r"^methods baseline, uniform .* must be fused: choose a fuser with --fuser \(.*joint",
        ),
        (["declared"], r"^the members of method 'declared' must be fused"),
    ],
)
def test_what_needs_a_fuser_is_refused_when_it_is_planned(
    planned: Callable[..., Engine], own_cache: Path, methods: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        planned(*methods)
    assert not list(own_cache.glob("stages/*"))


@pytest.mark.usefixtures("own_cache")
def test_a_partial_method_that_others_start_from_is_no_reference(planned: Callable[..., Engine]) -> None:
    labels = [evaluation.label for evaluation in planned("student").plan.evaluations]
    assert "student" in labels
    assert "baseline" in labels
    assert not any(label.startswith("declared") for label in labels)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("undeclared", r"builds members many, medium, few, which are no classifier .* say MethodSpec\(partial=True\)"),
        ("failing", r"of plugin 'early_methods' .* failed in build with OSError: no"),
        (
            "narrow",
            r"the head of member 'all' answers logits of shape \(2, 5\) .* \(2, 9\) was expected, for 9 classes",
        ),
        ("reject", r"the head of member 'many' answers .* \(2, 2\) was expected, for 1 classes and 'reject'"),
    ],
)
def test_what_could_not_be_evaluated_is_not_trained(
    planned: Callable[..., Engine], own_cache: Path, method: str, message: str
) -> None:
    with pytest.raises(PluginError, match=f"^method '{method}'.*{message}"):
        planned(method, fusers=["soft"]).execute()
    assert not list(own_cache.glob("stages/*")), "not even what it starts from"


@pytest.mark.usefixtures("own_cache")
def test_trying_the_heads_leaves_them_as_they_were(planned: Callable[..., Engine]) -> None:
    engine = planned("baseline")
    context = engine._context("baseline", None)
    (member,) = engine._methods["baseline"].build(context)
    member.head = torch.nn.Sequential(torch.nn.BatchNorm1d(member.backbone.num_features).eval(), member.head)
    member.head[1].train()
    before = [(name, value.clone()) for name, value in member.head.state_dict().items()]
    modes = [module.training for module in member.head.modules()]
    try_heads("baseline", [member])
    assert [module.training for module in member.head.modules()] == modes
    assert all(torch.equal(value, member.head.state_dict()[name]) for name, value in before)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("name", "message"),
    [("Undeclared", "must say MethodSpec"), ("Whole", "says partial=True, but its one member covers every class")],
)
def test_the_contract_suite_holds_the_declaration_true(planned: Callable[..., Engine], name: str, message: str) -> None:
    planned("baseline")
    cls = manager.plugins().methods.load(name.lower())
    with pytest.raises(AssertionError, match=message):
        check_method(cls)


@pytest.mark.parametrize(
    ("asked", "fusers"), [({}, ("mean-logits",)), ({"fusers": ["soft"]}, ("soft",)), ({"overrides": ["fusers=[]"]}, ())]
)
def test_a_method_s_own_fusers_are_used_where_nobody_says_which(
    asked: dict[str, Sequence[str]], fusers: tuple[str, ...]
) -> None:
    assert resolve(methods=["ride"], **asked).config.fusers == fusers
