"""What a stage costs: what its trainings took, how large its members are, what one evaluation of an image takes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ltbench.backbones.checkpoints import tensors_digest
from ltbench.backbones.shared_pass import TRIED, SharedPass
from ltbench.engine.fitting.spent import Spent
from ltbench.engine.machine.compute import Compute
from ltbench.method import Member


def stage_cost(
    spent: Spent, seconds: float, members: Sequence[Member], shape: Sequence[int], compute: Compute
) -> dict[str, Any]:
    """The fields of :class:`ltbench.results.schema.StageCost`, as plain values.

    Args:
        seconds: that the devices worked, see :func:`device_seconds`.
        members: as they are evaluated.
        shape: (C, H, W) of an image.
    """
    return {
        "device": compute.device.type,
        "seconds": round(seconds, 3),
        "images": spent.counts.images,
        "features": spent.counts.features,
        "extracted": spent.extracted,
        "learned": spent.learned,
        "parameters": parameters_of(members),
        "multiply_adds": multiply_adds_of(members, shape, compute.device),
    }


def device_seconds(spent: Spent, worked: float, compute: Compute) -> float:
    """Seconds that the devices of all processes worked, an earlier attempt's among them; every process has to ask.

    Args:
        worked: by this process's device (:func:`ltbench.engine.fitting.spent.worked`) in this attempt.
    """
    own = torch.tensor([worked + spent.counts.seconds], dtype=torch.float32, device=compute.device)
    return float(compute.total(own)[0])


def parameters_of(members: Sequence[Member]) -> int:
    """Parameters of all members. What stands at the same place of two members with the same values counts once, as it is
    computed once; so do modules that members share."""
    distinct: dict[tuple[str, str], int] = {}
    seen: set[int] = set()
    for member in members:
        for name, parameter in member.module.named_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                distinct[name, tensors_digest({"": parameter})] = parameter.numel()
    return sum(distinct.values())


def multiply_adds_of(members: Sequence[Member], shape: Sequence[int], device: torch.device) -> int:
    """Multiply-adds of one image float[C, H, W] in all members: convolutions, matrix products and attention, as torch's
    ``FlopCounterMode`` counts them. What backbones compute alike is computed, and counted, once, as the engine does it."""
    backbones = list({id(member.backbone): member.backbone for member in members}.values())
    images = torch.zeros(TRIED, *shape, device=device)
    with torch.no_grad():
        together = SharedPass(backbones).eval()
        together(images)  # the first pass also runs every backbone by itself
        with FlopCounterMode(display=False) as counter:
            parts = together(images).split([backbone.num_features for backbone in backbones], dim=1)
            features = {id(backbone): part for backbone, part in zip(backbones, parts, strict=True)}
            for member in members:
                member.head(features[id(member.backbone)])
    return int(counter.get_total_flops()) // (2 * TRIED)
