"""Several backbones on one trunk: they share their lower blocks and have upper ones of their own."""

import copy

from ltbench.backbones.backbone import Backbone
from ltbench.errors import UsageError

__all__ = ["fork"]


def fork(backbone: Backbone, own_blocks: int, number: int) -> list[Backbone]:
    """So many backbones that have all but their top ``own_blocks`` blocks in common (:attr:`Backbone.blocks`).

    What they share is one object: trained together by ``context.train`` it is computed once a step, it gets the gradients of
    all, and it is stored once. Each fork starts from the same weights, those of ``backbone``, which is the first of them; draw
    others for the own blocks where that shall differ.

    Raises:
        UsageError: fewer than none, or more blocks than the model has.
    """
    blocks = backbone.blocks
    if not 0 <= own_blocks <= len(blocks):
        raise UsageError(f"a fork with {own_blocks} blocks of its own: this backbone has {len(blocks)}.")
    own = {name for block in blocks[len(blocks) - own_blocks :] for name in block}
    named = dict(backbone.named_parameters())
    of_own = {id(named[name]) for name in own}
    shared: dict[int, object] = {id(tensor): tensor for tensor in named.values() if id(tensor) not in of_own}
    for module in backbone.modules():
        parameters = list(module.parameters())
        stateless = not parameters and next(module.buffers(), None) is None
        if stateless or (parameters and not any(id(tensor) in of_own for tensor in parameters)):
            shared[id(module)] = module
    return [backbone, *(copy.deepcopy(backbone, dict(shared)) for _ in range(number - 1))]
