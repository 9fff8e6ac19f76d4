"""What in a record must agree with its own settings. Needs the record alone: no logits, no plugin, no torch.

That the bits, the counts and the accuracies agree with each other, :class:`ltbench.results.record.Record` itself checks.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from ltbench.config import RunConfig
from ltbench.data.folds import fold_rule
from ltbench.results.record import Record
from ltbench.results.schema import MemberInfo, Selection
from ltbench.results.track import track_of

_AHEAD = timedelta(days=1)
"""What clocks and time zones may differ by."""

_CLOCK = 0.1
"""Seconds that lie between two looks at a clock."""

_ROUNDING = 2e-3
"""Percentage points, or nats, that the digits of a record explain: accuracies of the oracle have six."""


def contradictions(record: Record) -> list[str]:
    """One line for each thing in the record that another contradicts; empty for a record as ltbench makes it."""
    try:
        config = RunConfig.model_validate(record.config)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        return [f"config is none of a run: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"]
    checks = (
        *(_settings(record, config), _track(record, config)),
        *(_members(record), _role(record), _measured(record), _costs(record)),
    )
    return [line for found in checks for line in found]


def _settings(record: Record, config: RunConfig) -> Iterator[str]:
    stages = [stage.method for stage in record.stages]
    fused = [] if record.fuser == "none" else [record.fuser]
    wanted = {
        "methods": ([*config.methods], [*record.methods]),
        "fusers": ([*config.fusers], fused),
        "seed": (config.seed, record.seed),
        "folds": (config.folds, record.fold_rule),
        "dataset.name": (config.dataset.name, record.dataset.name),
        "dataset.options": (config.dataset.options, record.dataset.options),
        "dataset.root": (config.dataset.root, None),
        "settings": (sorted(config.settings), sorted({*stages, *fused})),
    }
    for key, (set_, stated) in wanted.items():
        if set_ != stated:
            yield f"config.{key} is {_short(set_)}, the record says {_short(stated)}"
    if len({*stages}) < len(stages) or len({stage.key for stage in record.stages}) < len(stages):
        yield "stages: a method or a key is there twice"
    if absent := [name for name in record.methods if name not in stages]:
        yield f"stages: that of the method '{absent[0]}' is missing"
    compute, environment = config.compute, record.environment
    for key, said, found in (
        ("precision", compute.precision, environment.precision),
        ("device", compute.device, environment.device),
    ):
        if said not in ("auto", found):
            yield f"config.compute.{key} is {said}, environment.{key} {found}"
    if record.dataset.options.get("on_bad_image") == "error" and any(record.dataset.skipped.values()):
        yield "dataset.skipped names images, but the options let no image be left out"


def _track(record: Record, config: RunConfig) -> Iterator[str]:
    track, model = record.track, config.backbone.name
    weights = track.pretraining.removeprefix("timm ")  # which of a model's, the version of timm decided
    expected = track_of(
        config,
        record.stages[0].method,
        resolution=track.resolution,
        precision=record.environment.precision,
        storage=track.storage,
        pretrained=weights if weights.partition(".")[0] == model.partition(".")[0] else model,
        transductive=track.transductive,
        augmentations=[stage.augmentation for stage in record.stages],
    )
    for key, value in track.model_dump().items():
        if value != expected[key]:
            yield f"track.{key} is {_short(value)}, the settings give {_short(expected[key])}"
    kept = record.dataset.options.get("storage")
    if kept in ("files", "packed") and (kept == "packed") != bool(track.storage):
        yield f"track.storage is {_short(track.storage)}, dataset.options.storage {kept}"


def _members(record: Record) -> Iterator[str]:
    classes, members = record.dataset.num_classes, record.members
    if len({member.name for member in members}) < len(members):
        yield "members: a name is there twice"
    if list(dict.fromkeys(member.method for member in members)) != [*record.methods]:
        yield "members are not those of the methods, in their order"
    for member in members:
        if not member.name.startswith(f"{member.method}/"):
            yield f"members: '{member.name}' is no name of a member of '{member.method}'"
        if not _possible_size(member, classes):
            yield f"members: '{member.name}' covers {member.num_classes} of {classes} classes with '{member.outside}'"
    if sum(member.num_classes for member in members) < classes:
        yield "members: together they cover fewer classes than there are"


def _possible_size(member: MemberInfo, classes: int) -> bool:
    if member.outside == "none":
        return member.num_classes == classes
    return member.num_classes < classes + (member.outside == "zero")


def _role(record: Record) -> Iterator[str]:
    alone = len(record.members) == 1 and record.members[0].outside == "none"
    if record.fuser == "none" and not alone:
        yield "fuser 'none' takes one member over all classes"
    if record.role != "run" and not alone:
        yield f"a {record.role} is one classifier over all classes"
    if record.role == "reference" and record.fuser != "none":
        yield "a reference is not fused"
    if record.selection != Selection(split="val"):
        yield "selection: ltbench selects by accuracy on val"
    if record.created > datetime.now(UTC) + _AHEAD:
        yield f"created on {record.created:%Y-%m-%d}, which is still to come"


def _costs(record: Record) -> Iterator[str]:
    told = [stage for stage in record.stages if stage.cost is not None]
    if told and len(told) < len(record.stages):
        yield "stages: the cost of some is told, that of others not"
    for stage in told:
        assert stage.cost is not None
        cost, where = stage.cost, f"stages: the cost of '{stage.method}'"
        if cost.extracted % max(1, record.dataset.train):
            yield f"{where} has {cost.extracted} extracted features, no multiple of {record.dataset.train} images"
        if not (cost.parameters and cost.multiply_adds):
            yield f"{where} has members without parameters or multiply-adds"
        if (cost.images or cost.features) and not cost.seconds:
            yield f"{where} has a training that took no time"
        if cost.device != "cpu" and cost.seconds < record.timings.get(stage.method, 0) - _CLOCK:
            yield f"{where} has {cost.seconds} s of {cost.device}, timings.{stage.method} is {record.timings[stage.method]}"


def _measured(record: Record) -> Iterator[str]:
    steps = {*(stage.method for stage in record.stages), "fuser_fit", "fuser_apply"}
    if record.timings.keys() != steps:
        yield f"timings of {_short(sorted(record.timings.keys() ^ steps))} are missing or too many"
    wrong = 1 - sum(record.per_class_correct) / record.dataset.test
    if (nll := record.calibration.nll) is not None and nll < wrong * math.log(2) - _ROUNDING:
        # where the true class is not the largest its probability is at most a half
        yield f"calibration.nll is {nll}, {100 * wrong:.1f} % wrong make at least {wrong * math.log(2):.4f}"
    names = {member.name for member in record.members}
    if record.fuser == "none" and record.fitted_on not in (None, "nothing"):
        yield "fitted_on: the fuser 'none' learns nothing"
    if record.fuser == "none" and record.fuser_state:
        yield "fuser_state: the fuser 'none' learns nothing"
    for table in _tables(record.fuser_state):
        if names & table.keys() and names != table.keys():
            yield "fuser_state speaks of other members"
    yield from _oracle(record)


def _oracle(record: Record) -> Iterator[str]:
    partial = {member.name: member.num_classes for member in record.members if member.outside != "none"}
    if not record.analyses:
        return
    told = record.analyses.get("oracle")
    if record.analyses.keys() != {"oracle"} or not isinstance(told, Mapping):
        yield "analyses: only the oracle is known"
    elif record.role != "run" or sum(partial.values()) != record.dataset.num_classes:
        yield "analyses.oracle: there is none for these members"
    elif told.keys() != {"accuracy", "chooses_among"} or told["chooses_among"] != partial:
        yield "analyses.oracle does not choose among the members' classes"
    elif not isinstance(told["accuracy"], Mapping) or told["accuracy"].keys() != record.metrics.keys():
        yield "analyses.oracle.accuracy has other fold rules than metrics"
    else:
        yield from _oracle_accuracy(record, told["accuracy"])


def _oracle_accuracy(record: Record, accuracy: Mapping[str, Any]) -> Iterator[str]:
    """Of each fold a whole number of samples is right; together they make All, the same under every rule."""
    totals = record.per_class_total
    right_in_all = set()
    for rule, folds in accuracy.items():
        if not isinstance(folds, Mapping) or folds.keys() != record.metrics[rule].keys():
            yield f"analyses.oracle.accuracy.{rule} has other folds than metrics"
            return
        members = fold_rule(rule).members(record.dataset.train_counts)
        sizes = {name: sum(totals[label] for label in members[name]) for name in folds if name != "all"}
        sizes["all"] = record.dataset.test
        if not all(isinstance(value, int | float) and 0 <= value <= 100 for value in folds.values()):
            yield f"analyses.oracle.accuracy.{rule} holds what is no percentage"
            return
        right = {name: round(value / 100 * sizes[name]) for name, value in folds.items()}
        off = [name for name, value in folds.items() if abs(100 * right[name] / sizes[name] - value) > _ROUNDING]
        if off or sum(right.values()) != 2 * right["all"]:
            yield f"analyses.oracle.accuracy.{rule}: {off[0] if off else 'the folds'} and All do not fit the test samples"
        right_in_all.add(right["all"])
    if len(right_in_all) > 1:
        yield "analyses.oracle.accuracy differs on All between the fold rules"


def _tables(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for entry in value.values():
            yield from _tables(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _tables(entry)


def disagreeing(records: Iterable[Record]) -> dict[int, str]:
    """Positions of records that most others contradict -> why.

    Records of one fingerprint have the same classes and test samples, and a stage has one seed: the same under two is a copy.
    Where there is no majority none of them counts.
    """
    listed = list(records)
    by_data: dict[str, dict[Any, list[int]]] = {}
    by_stage: dict[str, dict[Any, list[int]]] = {}
    for position, record in enumerate(listed):
        counts = (record.per_class_total, record.dataset.train_counts)
        by_data.setdefault(record.dataset.fingerprint, {}).setdefault(counts, []).append(position)
        for stage in record.stages:
            by_stage.setdefault(stage.key, {}).setdefault(record.seed, []).append(position)
    found: dict[int, str] = {}
    for groups, reason in (
        (by_data, "other records claim the same data with other class counts"),
        (by_stage, "another record has the same stage under another seed"),
    ):
        # the stages on which most records rest come first: what they tell of the copies, the others need not
        for versions in sorted(groups.values(), key=lambda versions: -sum(map(len, versions.values()))):
            found |= dict.fromkeys(_outvoted(versions, found), reason)
    return found


def _outvoted(versions: Mapping[Any, list[int]], gone: Mapping[int, str]) -> list[int]:
    """Positions under all versions but the one that most hold; under all where several do."""
    standing = [[position for position in positions if position not in gone] for positions in versions.values()]
    most = max(map(len, standing))
    kept = [positions for positions in standing if len(positions) == most]
    return [position for positions in standing if len(kept) > 1 or positions is not kept[0] for position in positions]


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
