"""Stages in the cache that are not what was written there: found before they are used, and set aside or refused."""

from collections.abc import Callable, Collection, Sequence

from ltbench.common.sealed import Damaged, set_aside
from ltbench.engine.machine.compute import Compute
from ltbench.engine.stages import lock
from ltbench.errors import DataError
from ltbench.results.stage import Stage


def clear_away(stages: Sequence[Stage], used: Collection[str], compute: Compute, say: Callable[[str], None]) -> bool:
    """Set damaged stages aside, so that they are trained again; whether there were any. For every process of a run.

    The main process looks. One that another command has trained again meanwhile is left.

    Args:
        used: methods whose weights will be read. If anything is to be made, so are those of all that others start from.
        say: told whom it waits for.
    """
    found = _damaged(stages, used) if compute.is_main else {}
    for stage in stages:
        if stage.method in found:
            with lock(stage, say):
                if why := _problem(stage, weights=True):
                    set_aside(stage.folder, why, "the stage is trained again")
    return compute.from_main(bool(found))


def refuse_to_train(stages: Sequence[Stage], compute: Compute) -> None:
    """Raises DataError, on every process of a run, for the first stage that would have to be trained."""
    used = [stage.method for stage in stages if not stage.evaluated]
    found = _damaged(stages, used) if compute.is_main else {}
    for stage in stages:
        text = ""
        if why := found.get(stage.method):
            text = f"{why.path} {why.what}"
        elif not stage.done:
            text = f"the stage of '{stage.method}' is no longer in the cache, or its code has changed since"
        if text := compute.from_main(text):
            raise DataError(f"{text}; run 'ltbench run' again, which trains it.")


def _damaged(stages: Sequence[Stage], used: Collection[str]) -> dict[str, Damaged]:
    """Method -> what is wrong with its stage, of those that lie in the cache and cannot be used."""
    found = {stage.method: why for stage in stages if (why := _problem(stage, weights=False))}
    if used or not all(stage.done for stage in stages):
        read = {*used, *(method for stage in stages for method in stage.inputs["requires"])}
        for stage in stages:
            if stage.method in read - found.keys() and (why := _problem(stage, weights=True)):
                found[stage.method] = why
    return found


def _problem(stage: Stage, weights: bool) -> Damaged | None:
    if not stage.folder.exists():
        return None
    try:
        stage.check(weights)
    except Damaged as why:
        return why
    return None
