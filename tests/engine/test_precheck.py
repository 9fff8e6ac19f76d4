"""What needs a fuser and has none is refused before anything is trained, as far as its members can be known by then."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY_EXPERTS

from ltbench.common.sealed import write_json
from ltbench.engine import precheck
from ltbench.engine.machine.progress import Reporter
from ltbench.engine.run import Engine
from ltbench.errors import DataError, PluginError, UsageError
from ltbench.registry import manager
from ltbench.settings.recipes import resolve

METHODS = """
import torch
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline
from ltbench_methods.experts import Experts

@hookimpl
def ltbench_methods():
    for name, base in (("whole", "baseline"), ("partial", "experts"), ("one-part", "experts"), ("writing", "baseline"),
                       ("learning", "baseline"), ("failing", "baseline"), ("narrow", "baseline"), ("reject", "experts")):
        target = "early_methods:" + name.title().replace("-", "")
        yield MethodSpec(name, target=target, requires=("baseline",), recipe=base)
    yield MethodSpec("student", target="early_methods:Student", requires=("one-part",), recipe="baseline")
    yield MethodSpec("heir", target="early_methods:Heir", requires=("whole",), recipe="baseline")

class Whole(Baseline):
    def build(self, context):
        assert len(context.stage("baseline")) == 1
        return super().build(context)

class Partial(Experts):
    def build(self, context):
        assert len(context.stage("baseline")) == 1
        return super().build(context)

class OnePart(Experts):
    def build(self, context):
        return super().build(context)[:1]

class Writing(Baseline):
    def build(self, context):
        context.artifact("note.txt").write_text("built")
        return super().build(context)

class Learning(Baseline):
    def build(self, context):
        members = super().build(context)
        context.train(*members, optim=self.config.optim)
        return members

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

class Heir(Baseline):
    def build(self, context):
        assert len(context.stage("whole")) == 1
        return super().build(context)
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


@pytest.fixture
def with_baseline(planned: Callable[..., Engine]) -> None:
    """The baseline's stage is in the cache."""
    planned("baseline").execute()


def check(engine: Engine) -> None:
    precheck.check_before_training(engine.plan, engine._methods, engine._context, engine.compute)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["experts"], r"^members experts/many, experts/medium, experts/few must be fused.* with --fuser \(.*joint"),
        (
            ["baseline", "uniform"],
            r"^methods baseline, uniform .* must be fused: choose a fuser with --fuser \(.*joint",
        ),
        (["whole", "failing"], r"^methods whole, failing .* must be fused"),
    ],
)
def test_what_needs_a_fuser_is_refused_before_training(
    planned: Callable[..., Engine], own_cache: Path, methods: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check(planned(*methods))
    assert not list(own_cache.glob("stages/*"))


@pytest.mark.usefixtures("own_cache")
def test_a_partial_method_that_others_start_from_is_refused_by_its_name_but_not_as_a_requirement(
    planned: Callable[..., Engine],
) -> None:
    with pytest.raises(DataError, match="no member covers class"):
        check(planned("one-part"))
    check(planned("student"))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("method", ["baseline", "uniform", "gan", "whole", "partial", "writing", "learning"])
def test_what_may_stand_alone_or_cannot_be_known_yet_goes_on(planned: Callable[..., Engine], method: str) -> None:
    check(planned(method))


@pytest.mark.usefixtures("own_cache")
def test_what_is_wrong_with_a_build_is_said_before_training(planned: Callable[..., Engine]) -> None:
    for fusers in ((), ("soft",)):
        with pytest.raises(
            PluginError, match=r"^method 'failing' of plugin 'early_methods' .* failed in build with OSError: no"
        ):
            check(planned("failing", fusers=fusers))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("narrow", r"member 'all' answers logits of shape \(2, 5\) to 2 samples; \(2, 9\) was expected, for 9 classes"),
        (
            "reject",
            r"member 'many' answers logits of shape \(2, 1\) .* \(2, 2\) was expected, for 1 classes and 'reject'",
        ),
    ],
)
def test_a_head_of_the_wrong_width_is_found_before_training(
    planned: Callable[..., Engine], own_cache: Path, method: str, message: str
) -> None:
    with pytest.raises(PluginError, match=f"^method '{method}': the head of {message}"):
        planned(method, fusers=["soft"]).execute()
    assert not list(own_cache.glob("stages/*"))


@pytest.mark.usefixtures("own_cache")
def test_trying_the_heads_leaves_them_as_they_were(planned: Callable[..., Engine]) -> None:
    engine = planned("baseline")
    context = engine._context("baseline", None)
    (member,) = engine._methods["baseline"].build(context)
    member.head = torch.nn.Sequential(torch.nn.BatchNorm1d(member.backbone.num_features).eval(), member.head)
    member.head[1].train()
    before = [(name, value.clone()) for name, value in member.head.state_dict().items()]
    modes = [module.training for module in member.head.modules()]
    precheck.try_heads("baseline", [member])
    assert [module.training for module in member.head.modules()] == modes
    assert all(torch.equal(value, member.head.state_dict()[name]) for name, value in before)


@pytest.mark.usefixtures("own_cache")
def test_with_a_fuser_several_may_go_together(planned: Callable[..., Engine]) -> None:
    check(planned("experts", "baseline", fusers=["soft"]))


@pytest.mark.usefixtures("with_baseline")
def test_a_build_from_a_trained_stage_is_looked_at(planned: Callable[..., Engine]) -> None:
    check(planned("whole"))
    with pytest.raises(UsageError, match=r"^members partial/many, partial/medium, partial/few must be fused"):
        check(planned("partial"))


@pytest.mark.usefixtures("with_baseline")
def test_where_all_is_trained_nothing_is_built(planned: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: Any) -> Any:
        raise AssertionError("it need not be built")

    monkeypatch.setattr(precheck, "build", build)
    check(planned("baseline"))


@pytest.mark.usefixtures("own_cache")
def test_a_stage_without_what_it_was_built_from_counts_as_untrained(planned: Callable[..., Engine]) -> None:
    """The user has deleted the baseline's stage, but not that of 'whole', which is built from it."""
    engine = planned("heir")
    whole = engine.plan.stages[1]
    write_json(whole.folder / "stage.json", {"members": []}, whole.of("report"))
    assert [stage.done for stage in engine.plan.stages] == [False, True, False]
    check(engine)


@pytest.mark.usefixtures("with_baseline")
def test_members_that_are_built_at_their_turn_are_judged_then(planned: Callable[..., Engine]) -> None:
    for method, fusers in (("whole", ()), ("partial", ("soft",))):
        engine = planned(method, fusers=fusers)
        context = engine._context(method, None)
        precheck.check_built(engine.plan, context, engine._methods[method].build(context))
    engine = planned("partial")
    context = engine._context("partial", None)
    with pytest.raises(UsageError, match=r"^members partial/many, partial/medium, partial/few must be fused"):
        precheck.check_built(engine.plan, context, engine._methods["partial"].build(context))
