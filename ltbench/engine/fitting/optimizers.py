"""The optimiser that the settings ask for, through timm."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from torch import nn

from ltbench.backbones.backbone import Backbone
from ltbench.engine.fitting.trainee import Trainee
from ltbench.errors import UsageError
from ltbench.training.optim import OptimConfig

Groups = Sequence[Mapping[str, Any]]


def make_optimizer(
    optim: OptimConfig, trainee: Trainee, others: Iterable[nn.Parameter], groups: Groups | None
) -> torch.optim.Optimizer:
    """The optimiser of a training.

    Args:
        others: further parameters that learn.
        groups: in place of those that ``layer_decay`` and ``decay_norm_and_bias`` make of the trainee's parameters.

    Raises:
        UsageError: settings that this optimiser does not take.
    """
    made = [dict(group) for group in groups] if groups is not None else _groups(optim, trainee)
    if further := list(others):
        made.append({"params": further})
    more: dict[str, Any] = {"betas": optim.betas} if optim.betas is not None else {}
    more |= {"eps": optim.eps} if optim.eps is not None else {}
    more |= {"nesterov": optim.nesterov} if optim.optimizer in ("sgd", "momentum") else {}
    try:
        optimizer = create_optimizer_v2(
            made, opt=optim.optimizer, lr=optim.lr, weight_decay=optim.weight_decay, momentum=optim.momentum, **more
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"optim.optimizer = '{optim.optimizer}': {str(error).splitlines()[0].rstrip('.')}.") from error
    if optim.clip_norm is not None:
        _clip_before_each_step(optimizer, optim.clip_norm)
    return optimizer


def _groups(optim: OptimConfig, trainee: Trainee) -> list[dict[str, Any]]:
    """One group of all that learns; with layer decay or exemptions from weight decay one for each setting that occurs."""
    if optim.layer_decay == 1 and optim.decay_norm_and_bias:
        return [{"params": [parameter for parameter in trainee.parameters() if parameter.requires_grad]}]
    depths, exempt = _depths(trainee), _exempt(trainee)
    grouped: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for parameter in trainee.parameters():
        if parameter.requires_grad:
            free = not optim.decay_norm_and_bias and (parameter.ndim <= 1 or id(parameter) in exempt)
            grouped[depths.get(id(parameter), 0), free].append(parameter)
    return [
        {
            "params": parameters,
            "lr": optim.lr * optim.layer_decay**depth,
            "weight_decay": 0.0 if free else optim.weight_decay,
        }
        for (depth, free), parameters in grouped.items()
    ]


def _depths(trainee: Trainee) -> dict[int, int]:
    """Blocks down from the head of every backbone's parameter, by its id: 1 for the top block."""
    found: dict[int, int] = {}
    for backbone in trainee.backbones:
        assert isinstance(backbone, Backbone)
        named = dict(backbone.named_parameters())
        for depth, block in enumerate(reversed(backbone.blocks), 1):
            found |= {id(named[name]): depth for name in block}
    return found


def _exempt(trainee: Trainee) -> set[int]:
    """Ids of the parameters that timm's models exempt from weight decay."""
    found = set()
    for backbone in trainee.backbones:
        assert isinstance(backbone, Backbone)
        names: Iterable[str] = getattr(backbone.trunk, "no_weight_decay", set)()
        found |= {
            id(parameter) for name, parameter in backbone.named_parameters() if name.removeprefix("trunk.") in names
        }
    return found


def _clip_before_each_step(optimizer: torch.optim.Optimizer, norm: float) -> None:
    def clip(own: torch.optim.Optimizer, arguments: Any, keywords: Any) -> None:
        torch.nn.utils.clip_grad_norm_([each for group in own.param_groups for each in group["params"]], norm)

    optimizer.register_step_pre_hook(clip)
