"""Planning a run: which stages it needs, which of them are cached, which posteriors are evaluated."""

import hashlib
from contextlib import suppress
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
from ltbench.errors import LtbenchError, UsageError
from ltbench.plan import NO_FUSER, Evaluation, Run
from ltbench.registry.manager import plugins
from ltbench.results.stage import Stage
from ltbench.settings.recipe_files import controls_of, requirements
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
    """References and controls first, then every fuser asked for; partial methods stand nowhere alone.

    Raises:
        UsageError: what is asked for makes no posterior without a fuser.
    """
    refuse_unfused(resolved.config)
    required = [name for name in resolved.order if name in _required_by_some_method() and not is_partial(name)]
    controls = [name for name in plugins().fusers.names() if plugins().fusers.get(name).spec.control]
    wanted = [Evaluation((name,), NO_FUSER, "reference") for name in required]
    wanted += [Evaluation((name,), fuser, "control") for name in required for fuser in controls]
    wanted += [
        Evaluation((name,), NO_FUSER, "control")
        for name in controls_of(resolved.config.methods)
        if not is_partial(name)
    ]
    wanted += [Evaluation(resolved.config.methods, fuser, "run") for fuser in resolved.config.fusers or (NO_FUSER,)]
    first: dict[tuple[tuple[str, ...], str], Evaluation] = {}
    for evaluation in wanted:
        first.setdefault((evaluation.methods, evaluation.fuser), evaluation)
    return list(first.values())


def refuse_unfused(config: RunConfig) -> None:
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


def _required_by_some_method() -> set[str]:
    """A method that requires one that is not there is no concern of a run without it."""
    found: set[str] = set()
    for name in plugins().methods.names():
        with suppress(LtbenchError):
            found |= set(requirements(name).values())
    return found


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
    """The plan as plain values, for ``--dry-run --json``."""
    return {
        "run": run.name,
        "folder": str(run.folder),
        "stages": [_described(stage) for stage in run.stages],
        "evaluations": [{"methods": list(e.methods), "fuser": e.fuser, "role": e.role} for e in run.evaluations],
        "config": run.config.model_dump(mode="json"),
    }


def _described(stage: Stage) -> dict[str, Any]:
    """``why``: see :mod:`ltbench.engine.reasons`; None for a stage that is there."""
    cached = stage.done
    why = None if cached else reason(stage).plain()
    return {"method": stage.method, "key": stage.key, "cached": cached, "folder": str(stage.folder), "why": why}
