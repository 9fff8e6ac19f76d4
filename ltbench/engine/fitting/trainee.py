"""The members that are trained together, as one module."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ltbench.backbones.backbone import keep_frozen_in_eval
from ltbench.backbones.shared_pass import SharedTrunk
from ltbench.training.step import Output


class Trainee(nn.Module):
    """What the optimiser sees: backbones and heads, or the heads alone on cached features.

    A backbone of several members is computed once, and so is what backbones have in common. In its ``state_dict`` each tensor
    stands once.

    Args:
        members: name -> (backbone, head); no backbone: the head is trained on features.
        compiled: what several backbones have in common is compiled; a backbone of its own is, or is not, already.
    """

    def __init__(self, members: Mapping[str, tuple[nn.Module | None, nn.Module]], compiled: bool = False) -> None:
        super().__init__()
        self.compiled = compiled
        self.names = tuple(members)
        distinct = {id(backbone): backbone for backbone, _ in members.values() if backbone is not None}
        self.backbones = nn.ModuleList(distinct.values())
        self.heads = nn.ModuleList(head for _, head in members.values())
        self._features_of = [list(distinct).index(id(backbone)) if distinct else 0 for backbone, _ in members.values()]
        self._shared: SharedTrunk | None = None
        self.register_state_dict_post_hook(_drop_repeated)
        self.register_load_state_dict_post_hook(_allow_repeated)

    def forward(self, inputs: Tensor) -> dict[str, Output]:
        features = self._features(inputs)
        each = zip(self.names, self.heads, self._features_of, strict=True)
        return {name: Output(head(features[number]), features[number]) for name, head, number in each}

    def _features(self, inputs: Tensor) -> Sequence[Tensor]:
        """Of each distinct backbone."""
        if not self.backbones:
            return [inputs]
        if not self._have_common():
            return [backbone(inputs) for backbone in self.backbones]
        if self._shared is None:
            self._shared = SharedTrunk(list(self.backbones), self.compiled)  # type: ignore[arg-type]
        return self._shared(inputs)

    def _have_common(self) -> bool:
        if len(self.backbones) == 1:
            return False
        tensors = [id(tensor) for backbone in self.backbones for tensor in backbone.parameters()]
        return len(set(tensors)) < len(tensors)

    def train(self, mode: bool = True) -> "Trainee":
        """As torch's, but frozen parts stay in eval mode."""
        super().train(mode)
        if mode:
            keep_frozen_in_eval(self.heads)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """A copy traces its own backbones."""
        return {**self.__dict__, "_shared": None}


class SideBySide(nn.Module):
    """The logits of all members side by side: inputs -> float[B, sum of K]."""

    def __init__(self, trainee: Trainee) -> None:
        super().__init__()
        self.trainee = trainee

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([output.logits for output in self.trainee(inputs).values()], dim=1)


def repeated(named: Mapping[str, Tensor]) -> Iterator[str]:
    """Names of tensors that stand under an earlier name already."""
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in named.items():
        place = tensor.data_ptr(), tensor.shape
        if tensor.numel() and place in seen:
            yield name
        seen.add(place)


def _drop_repeated(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    own = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
    for name in list(repeated(own)):
        del state[name]


def _allow_repeated(module: nn.Module, incompatible: Any) -> None:
    """A tensor that stands once was loaded under its first name."""
    named = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    first = {
        (tensor.data_ptr(), tensor.shape) for name, tensor in named.items() if name not in incompatible.missing_keys
    }
    for name in list(incompatible.missing_keys):
        tensor = named[name]
        if tensor.numel() and (tensor.data_ptr(), tensor.shape) in first:
            incompatible.missing_keys.remove(name)
