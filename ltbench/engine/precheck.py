"""Found out before anything is trained: what is asked for without a fuser must be one member over all classes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Unpack

import torch

from ltbench.engine.compute import Compute
from ltbench.engine.context import StageContext, build
from ltbench.engine.evaluate import make_fuser
from ltbench.engine.plan import NO_FUSER, Evaluation, Run
from ltbench.errors import UsageError
from ltbench.fuser import MemberLogits
from ltbench.manager import plugins
from ltbench.method import Member, Method, MethodConfig
from ltbench.recipe_files import requirements
from ltbench.step import Minibatch
from ltbench.training import Kept, Round, Training, TrainingResult


def check_before_training(
    plan: Run,
    configs: Mapping[str, MethodConfig],
    context: Callable[[str, Path | None], StageContext],
    compute: Compute,
) -> None:
    """Refuse a run that would only after its training be found to need a fuser.

    Members are known once they are built, so they are built untrained, and dropped. A method that builds from a stage
    which is still to be trained cannot be asked now: it is left to :func:`check_built`. Nothing is built for posteriors
    with a fuser, nor where every stage is in the cache.

    Every process of a run must call this, for ``build`` may let them work together.

    Args:
        configs: of the plan's methods, by name.
        context: method and folder -> its context; called with no folder.

    Raises:
        UsageError: several methods, several members or a partial one, and no fuser.
        LtbenchError: whatever else is wrong with the members, or ``build`` finds.
    """
    wanted = _without_fuser(plan)
    done = compute.agree([stage.done for stage in plan.stages])
    if not wanted or all(done):
        return
    for evaluation in wanted:
        if len(evaluation.methods) > 1:
            known = ", ".join(plugins().fusers.names()) or "none is installed"
            raise UsageError(
                f"methods {', '.join(evaluation.methods)} make one ensemble, which must be fused: choose a fuser with "
                f"--fuser ({known})."
            )
    trained = _usable(plan, done)
    for evaluation in wanted:
        (name,) = evaluation.methods
        early = _EarlyContext(context(name, None), trained)
        cls: type[Method] = plugins().methods.load(name)
        try:
            members = build(cls(configs[name]), early)
        except _NeedsTraining:
            continue
        check_built(plan, early, members)


def check_built(plan: Run, context: StageContext, members: Sequence[Member]) -> None:
    """Refuse members that need a fuser, where the plan wants their method without one. They need not be trained.

    Raises:
        UsageError: several members, or a partial one.
        DataError: members that no fuser could take, either.
    """
    name = context.name
    if any(evaluation.methods == (name,) for evaluation in _without_fuser(plan)):
        no_samples = [
            MemberLogits(f"{name}/{m.name}", name, m.classes, m.outside, torch.empty(0, m.width)) for m in members
        ]
        make_fuser(NO_FUSER, context.classes).log_posterior(no_samples)


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


class _NeedsTraining(Exception):
    """A ``build`` asks for what is there only later in the run."""


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
