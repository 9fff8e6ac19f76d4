"""Planning a run: which stages it needs, which of them are cached, which posteriors are evaluated."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ltbench.backbones.checkpoints import pretrained_weights
from ltbench.common.canonical import digest
from ltbench.config import RunConfig
from ltbench.data.base import Dataset
from ltbench.data.folds import fold_rule
from ltbench.engine.reasons import reason
from ltbench.engine.stages import make_stage
from ltbench.errors import UsageError
from ltbench.plan import NO_FUSER, Evaluation, Run
from ltbench.registry.manager import plugins
from ltbench.results.record import Role
from ltbench.results.stage import Stage
from ltbench.settings.recipe_files import control_fusers, controls_of, dependency_order, reference_methods, requirements
from ltbench.settings.recipes import Resolved


def make_plan(resolved: Resolved, dataset: Dataset, precision: str, root: Path) -> Run:
    """Plan a run below the cache folder ``root``. Raises UsageError for a request that leaves nothing to evaluate."""
    config = resolved.config
    stages: dict[str, Stage] = {}
    for name in resolved.order:
        found = plugins().methods.get(name)
        inputs = {
            **_shared_inputs(config, dataset, precision),
            "config": _with_contents(resolved.method_configs[name]),
            "plugin": {"distribution": found.plugin.distribution, "version": found.plugin.version},
            **({"transductive": True} if found.spec.transductive else {}),
        }
        requires = [stages[required] for required in requirements(name).values()]
        stage = make_stage(root, plugins().methods.load(name), type(dataset), name, inputs, requires)
        stages[name] = replace(stage, views=config.evaluation.views)
    slug = "+".join(config.methods).replace(":", ".")
    name = f"{config.dataset.name}-{slug}-s{config.seed}-{resolved.hash[:8]}"
    return Run(name, config, list(stages.values()), evaluations_of(resolved), root / "runs" / name)


def evaluations_of(resolved: Resolved) -> list[Evaluation]:
    """References and controls first, then each method alone, then every fuser asked for; partial methods stand nowhere alone.

    What is asked for and is a reference, too, has that role, with or without controls.

    Raises:
        UsageError: what is asked for makes no posterior without a fuser.
    """
    config = resolved.config
    refuse_unfused_methods(config)
    alone = [((name,), NO_FUSER) for name in config.methods if not is_partial(name)]
    asked = [(config.methods, fuser) for fuser in config.fusers or (NO_FUSER,)]
    special = _special_roles(resolved)
    wanted = dict.fromkeys([*special, *alone, *asked] if config.controls else asked)
    return [Evaluation(*one, special.get(one, "run"), beside=one not in asked) for one in wanted]


def _special_roles(resolved: Resolved) -> dict[tuple[tuple[str, ...], str], Role]:
    """(methods, fuser) -> role of the references of a run, of their calibrations, and of its methods' controls."""
    known = reference_methods()
    references = [name for name in resolved.order if name in known and not is_partial(name)]
    roles: dict[tuple[tuple[str, ...], str], Role] = {((name,), NO_FUSER): "reference" for name in references}
    roles |= {((name,), fuser): "control" for name in references for fuser in control_fusers()}
    for name in controls_of(resolved.config.methods) if resolved.config.controls else ():
        if not is_partial(name):
            roles.setdefault(((name,), NO_FUSER), "control")
    return roles


def compared(run: Run) -> list[str]:
    """Methods whose stages are there for comparison alone: nothing that is asked for starts from them."""
    needed = dependency_order(run.config.methods)
    return [stage.method for stage in run.stages if stage.method not in needed]


def refuse_unfused_methods(config: RunConfig) -> None:
    """Say why the methods asked for make no posterior without a fuser. Raises UsageError: they do not, and none is given."""
    if config.fusers:
        return
    known = ", ".join(plugins().fusers.names()) or "none is installed"
    choose = f"choose a fuser with --fuser ({known})."
    if len(config.methods) > 1:
        raise UsageError(f"methods {', '.join(config.methods)} make one ensemble, which must be fused: {choose}")
    if is_partial(*config.methods):
        raise UsageError(
            f"the members of method '{config.methods[0]}' must be fused, each answers on its own: {choose}"
        )


def is_partial(method: str) -> bool:
    """Whether its members are one classifier only once they are fused (``MethodSpec.partial``)."""
    return plugins().methods.get(method).spec.partial


def _shared_inputs(config: RunConfig, dataset: Dataset, precision: str) -> dict[str, Any]:
    folds = fold_rule(config.folds).assign(dataset.train_counts)
    return {
        "dataset": {"name": config.dataset.name, "fingerprint": dataset.fingerprint, "storage": dataset.storage},
        "folds": digest(folds.tolist()),
        "backbone": {key: value for key, value in _with_contents(config.backbone).items() if key != "unused"},
        "pretrained": pretrained_weights(config.backbone.name) if config.backbone.pretrained else None,
        "augment": config.augment.model_dump(mode="json"),
        "mixing": config.mixing.model_dump(mode="json"),
        "precision": precision,
        "gradient_accumulation": config.compute.gradient_accumulation,
        "gradient_checkpointing": config.compute.gradient_checkpointing,
        "seed": config.seed,
        **({"compile": True} if config.compute.compile else {}),
    }


def _with_contents(settings: BaseModel) -> dict[str, Any]:
    """The settings as plain values; a file stands as the hash of what is in it, so that a changed file is another stage."""
    values = settings.model_dump(mode="json")
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        if isinstance(value, Path):
            values[key] = _file_hash(value, key)
    return values


def _file_hash(path: Path, key: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{key} = {path}: {error.strerror}.") from error


def describe(run: Run) -> dict[str, Any]:
    """The plan as plain values, for ``--dry-run --json``; ``compared``: the stage is there for comparison alone."""
    return {
        "run": run.name,
        "folder": str(run.folder),
        "stages": [{**_described(stage), "compared": stage.method in compared(run)} for stage in run.stages],
        "evaluations": [{"methods": list(e.methods), "fuser": e.fuser, "role": e.role} for e in run.evaluations],
        "config": run.config.model_dump(mode="json"),
    }


def _described(stage: Stage) -> dict[str, Any]:
    """``why``: see :mod:`ltbench.engine.reasons`; None for a stage that is there."""
    cached = stage.done
    why = None if cached else reason(stage).plain()
    return {"method": stage.method, "key": stage.key, "cached": cached, "folder": str(stage.folder), "why": why}
