"""Found out before anything is trained: what is asked for without a fuser must be one member over all classes, heads must fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Unpack

import torch

from ltbench.common.sealed import Damaged
from ltbench.engine.context import StageContext, build, try_heads
from ltbench.engine.evaluation.evaluate import make_fuser, refuse_unfused
from ltbench.engine.machine.compute import Compute
from ltbench.errors import UsageError
from ltbench.fuser import MemberLogits
from ltbench.method import Member, Method, MethodConfig
from ltbench.plan import NO_FUSER, Evaluation, Run
from ltbench.registry.manager import plugin_code, plugins
from ltbench.results.stage import Stage
from ltbench.settings.recipe_files import requirements
from ltbench.training.request import Kept, Round, Training, TrainingResult
from ltbench.training.step import Minibatch


def check_before_training(
    plan: Run,
    methods: Mapping[str, Method],
    context: Callable[[str, Path | None], StageContext],
    compute: Compute,
) -> None:
    """Refuse a run that would only after its training be found to need a fuser, or to have a head that does not fit.

    Members are known once they are built, so those of stages that are not in the cache are built untrained, and dropped. A
    method that builds from a stage which is still to be trained cannot be asked now: it is left to :func:`check_built`.

    Every process of a run must call this, for ``build`` may let them work together.

    Args:
        methods: those of the plan, by name.
        context: method and folder -> its context; called with no folder.

    Raises:
        UsageError: several methods, several members or a partial one, and no fuser.
        PluginError: ``build`` fails, or a head.
        LtbenchError: whatever else is wrong with the members, or ``build`` finds.
    """
    done = compute.agree([stage.done for stage in plan.stages])
    for evaluation in _without_fuser(plan):
        if len(evaluation.methods) > 1:
            known = ", ".join(plugins().fusers.names()) or "none is installed"
            raise UsageError(
                f"methods {', '.join(evaluation.methods)} make one ensemble, which must be fused: choose a fuser with "
                f"--fuser ({known})."
            )
    trained = _usable(plan, done)
    for stage, there in zip(plan.stages, done, strict=True):
        if there:
            _check_trained(plan, stage)
            continue
        early = _EarlyContext(context(stage.method, None), trained)
        try:
            members = build(methods[stage.method], early)
        except _NeedsTraining:
            continue
        check_built(plan, early, members)


def make_method(name: str, config: MethodConfig) -> Method:
    """The method of that name. Raises PluginError when its constructor fails."""
    cls: type[Method] = plugins().methods.load(name)
    with plugin_code("method", name, "its constructor"):
        return cls(config)


def check_built(plan: Run, context: StageContext, members: Sequence[Member]) -> None:
    """Refuse heads that do not fit, and members that need a fuser where the plan wants their method without one.

    The members need not be trained.

    Raises:
        PluginError: a head fails, or has another width than its classes ask for.
        UsageError: several members, or a partial one.
        DataError: members that no fuser could take, either.
    """
    name = context.name
    try_heads(name, members)
    if _stands_alone(plan, name):
        no_samples = [
            MemberLogits(f"{name}/{m.name}", name, m.classes, m.outside, torch.empty(0, m.width)) for m in members
        ]
        make_fuser(NO_FUSER, context.classes).log_posterior(no_samples)


def _check_trained(plan: Run, stage: Stage) -> None:
    """The same of a stage in the cache, by what it says of its members."""
    if _stands_alone(plan, stage.method):
        try:
            members = [(f"{stage.method}/{member['name']}", member["outside"]) for member in stage.report()["members"]]
        except Damaged:  # a run sets it aside and trains it again, and then its members are looked at
            return
        refuse_unfused([name for name, _ in members], [outside for _, outside in members])


def _stands_alone(plan: Run, method: str) -> bool:
    return any(evaluation.methods == (method,) for evaluation in _without_fuser(plan))


def _without_fuser(plan: Run) -> list[Evaluation]:
    """What was asked for and takes no fuser. A method that others start from is a reference, even if asked for by name."""
    asked = None if plan.config.fusers else plan.config.methods
    return [one for one in plan.evaluations if one.fuser == NO_FUSER and (one.role == "run" or one.methods == asked)]


def _usable(plan: Run, done: Sequence[bool]) -> set[str]:
    """Methods whose trained members can be had now: their stage is in the cache, and all that it was built from."""
    usable: set[str] = set()
    for stage, there in zip(plan.stages, done, strict=True):
        if there and usable.issuperset(requirements(stage.method).values()):
            usable.add(stage.method)
    return usable


class _NeedsTraining(BaseException):
    """A ``build`` asks for what is there only later in the run. No error: it must pass what a plugin catches."""


class _EarlyContext(StageContext):
    """The context of a build before the run has trained anything; the stages of ``trained`` are there."""

    def __init__(self, context: StageContext, trained: set[str]) -> None:
        names = requirements(context.name)
        required = {
            asked: members if names[asked] in trained else _not_yet for asked, members in context._required.items()
        }
        super().__init__(context.name, context._workbench, None, required)

    def artifact(self, name: str) -> Path | None:
        _not_yet()

    def train(self, members: Member | Sequence[Member], **asked: Unpack[Training]) -> TrainingResult:
        _not_yet()

    def batches(self, epoch: int, **asked: Any) -> Iterator[Minibatch]:
        _not_yet()

    def rounds(self, label: str, total: int, keep: Kept) -> Iterator[Round]:
        _not_yet()


def _not_yet() -> NoReturn:
    raise _NeedsTraining
