"""What a row costs, from its records: training of all stages that it rests on, evaluation of its own members."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ltbench.results.record import Record
from ltbench.results.schema import StageCost


@dataclass(frozen=True)
class Cost:
    """Of a row, means over its seeds where seeds differ.

    Attributes:
        device, seconds: what worked for all stages, and how long; several devices are joined by ``+``.
        images: samples times views that networks were trained on; ``features``: the same of heads on stored features.
        extracted: training images times views whose features were asked for.
        learned: parameters that learned in any stage.
        parameters, multiply_adds: of the members whose posterior the row is.
    """

    device: str
    seconds: float
    images: int
    features: int
    extracted: int
    learned: int
    parameters: int
    multiply_adds: int


def cost_of(records: Sequence[Record]) -> Cost | None:
    """None where a record of the row was made before costs were counted."""
    told = [costs for record in records if (costs := _costs(record)) is not None]
    if len(told) < len(records):
        return None
    members = [
        [cost for method, cost in costs.items() if method in record.methods]
        for costs, record in zip(told, records, strict=True)
    ]
    return Cost(
        device="+".join(sorted({cost.device for costs in told for cost in costs.values()})),
        seconds=fmean(sum(cost.seconds for cost in costs.values()) for costs in told),
        images=round(fmean(sum(cost.images for cost in costs.values()) for costs in told)),
        features=round(fmean(sum(cost.features for cost in costs.values()) for costs in told)),
        extracted=round(fmean(sum(cost.extracted for cost in costs.values()) for costs in told)),
        learned=round(fmean(sum(cost.learned for cost in costs.values()) for costs in told)),
        parameters=round(fmean(sum(cost.parameters for cost in own) for own in members)),
        multiply_adds=round(fmean(sum(cost.multiply_adds for cost in own) for own in members)),
    )


def wall_seconds(records: Sequence[Record]) -> float:
    """What its stages took by the clock on the wall, whatever else the machine did: mean over the seeds."""
    return fmean(sum(record.timings[stage.method] for stage in record.stages) for record in records)


def _costs(record: Record) -> dict[str, StageCost] | None:
    costs = {stage.method: stage.cost for stage in record.stages if stage.cost is not None}
    return costs if len(costs) == len(record.stages) else None
