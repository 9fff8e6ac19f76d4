"""A record's settings against the plugins that are installed: their schemas, what methods require, which roles there are."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from ltbench.errors import LtbenchError
from ltbench.registry.lookup import Registry
from ltbench.registry.manager import plugins
from ltbench.results.record import Record
from ltbench.settings.recipe_files import control_fusers, controls_of, dependency_order, reference_methods

Found = tuple[Literal["ok", "failed", "unknown"], str]


def compare_with_installed(record: Record) -> Iterator[Found]:
    """What fits, what does not, and what cannot be said because a plugin is missing or of another version."""
    registry, config = plugins(), record.config
    sections: list[tuple[Registry[Any], str, Any]] = [
        (registry.methods, stage.method, config["settings"][stage.method]) for stage in record.stages
    ]
    if record.fuser != "none":
        sections.append((registry.fusers, record.fuser, config["settings"][record.fuser]))
    sections.append((registry.datasets, record.dataset.name, record.dataset.options))
    gone = []
    for known, name, settings in sections:
        model = _model(record, known, name)
        if isinstance(model, str):
            gone.append(model)
        elif wrong := _invalid(model, settings, {"lists"} if known.kind == "dataset" else set()):
            yield "failed", f"settings of {known.kind} '{name}': {wrong}"
    for text in gone:
        yield "unknown", text
    if not gone:
        yield "ok", "settings are such as the installed plugins take"
        yield from _methods(record)


def _model(record: Record, known: Registry[Any], name: str) -> type[BaseModel] | str:
    """The schema, or why the settings cannot be compared with it."""
    try:
        plugin, cls = known.get(name).plugin, known.load(name)
    except LtbenchError:
        return f"{known.kind} '{name}' is not installed: its settings are not checked"
    made_with = record.environment.plugins.get(plugin.distribution)
    if made_with != plugin.version:
        return (
            f"{known.kind} '{name}' was of {plugin.distribution} {made_with or '(not named)'}, here is "
            f"{plugin.version or 'a file'}: its settings are not checked"
        )
    model: type[BaseModel] = cls.Options if known.kind == "dataset" else cls.Config
    return model


def _invalid(model: type[BaseModel], settings: Any, left_out: set[str]) -> str:
    try:
        complete = model.model_validate(settings).model_dump(mode="json", exclude=left_out)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return _not_as_stored(settings, complete)


def _not_as_stored(settings: Mapping[str, Any], complete: Mapping[str, Any], above: str = "") -> str:
    """A key whose value the schema reads as another (a number given as text); keys that came later may be missing."""
    for key, value in settings.items():
        kept = complete.get(key)
        if isinstance(value, Mapping) and isinstance(kept, Mapping):
            if odd := _not_as_stored(value, kept, f"{above}{key}."):
                return odd
        elif value != kept:
            return f"{above}{key} is {value!r}, which is read as {kept!r}"
    return ""


def _methods(record: Record) -> Iterator[Found]:
    """Stages and role; only where every plugin is there."""
    order, stages = dependency_order(record.methods), [stage.method for stage in record.stages]
    if order != stages:
        yield "failed", f"stages are {', '.join(stages)}; the methods rest on {', '.join(order)}"
    specs = [plugins().methods.get(name).spec for name in record.methods]
    fuser = () if record.fuser == "none" else (plugins().fusers.get(record.fuser).spec,)
    if record.track.transductive != (declared := any(spec.transductive for spec in (*specs, *fuser))):
        yield (
            "failed",
            f"track.transductive is {record.track.transductive}, the methods and the fuser declare {declared}",
        )
    if record.role == "run":
        return
    name, references = record.methods[0], reference_methods()
    if record.role == "reference" and name not in references:
        yield "failed", f"'{name}' is no reference: no installed method starts from it"
    if record.role == "control":
        calibrated = record.fuser in control_fusers() and name in references
        beside = record.fuser == "none" and name in controls_of(_installed_controls())
        if not (calibrated or beside):
            yield "failed", f"'{name}' with fuser '{record.fuser}' is no control of anything"


def _installed_controls() -> list[str]:
    """Methods whose controls are all installed."""
    found = []
    for name in plugins().methods.names():
        try:
            controls_of([name])
        except LtbenchError:
            continue
        found.append(name)
    return found
