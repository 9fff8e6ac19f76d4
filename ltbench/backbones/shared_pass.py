"""Several backbones over the same images: each image is read once, and what the backbones compute alike is computed once.

Experts start from the baseline, and those that train their upper blocks alone still have its lower ones (Sec. 3.1). Each
backbone is traced by torch.fx into its operations. Operations of two backbones are the same one where they apply the same
function, or modules with equal settings and weights, to the same values. In a training only the very same modules count
(:class:`SharedTrunk`).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from timm.layers import get_notrace_functions, get_notrace_modules
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from ltbench.backbones.backbone import Backbone
from ltbench.backbones.checkpoints import tensors_digest, weights_digest
from ltbench.errors import LtbenchError

TRIED = 2
"""Images on which a shared pass must answer as the backbones themselves do, to the last bit."""


class SharedPass(nn.Module):
    """Images float[B, C, H, W] -> the features of all backbones side by side, float[B, sum of D].

    A backbone that cannot be traced is run as it is. So are all of them where the first images show that the traced
    operations answer otherwise than the backbones.
    """

    def __init__(self, backbones: Sequence[Backbone]) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self._program: _Program | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self._program is None:
            self._program = self._tried(images[:TRIED])
        return torch.cat(self._program(images), dim=1)

    @property
    def steps(self) -> int:
        """Operations of a pass, known after the first; a backbone that is run as it is counts as one."""
        return len(self._program.steps) if self._program is not None else 0

    def _tried(self, images: Tensor) -> "_Program":
        shared = _Program(self.backbones, _Tracer())
        with torch.compiler.set_stance("force_eager"):  # what is compiled rounds otherwise
            pairs = zip(shared(images), self.backbones, strict=True)
            if all(torch.equal(answer, backbone(images)) for answer, backbone in pairs):
                return shared
        return _Program(self.backbones, None)


class SharedTrunk:
    """Backbones with modules in common (:func:`ltbench.backbones.forks.fork`), in training: each of those is run once a pass.

    Modules that have all or none of their parameters in common are run as they are; what lies around them is traced, once for
    training and once for evaluation.

    Args:
        compiled: compile each module that is run as it is.

    Raises:
        LtbenchError: a backbone cannot be traced, or the traced operations answer otherwise than it does.
    """

    def __init__(self, backbones: Sequence[Backbone], compiled: bool = False) -> None:
        self.backbones, self.compiled = list(backbones), compiled
        self._programs: dict[bool, _Program] = {}

    def __call__(self, images: Tensor) -> list[Tensor]:
        training = any(backbone.training for backbone in self.backbones)
        if not self._programs:
            self._try(images[:TRIED])
        if training not in self._programs:
            self._programs[training] = self._traced()
        return self._programs[training](images)

    def _traced(self) -> "_Program":
        uses = Counter(id(module) for backbone in self.backbones for module in set(backbone.modules()))
        owned = Counter(id(tensor) for backbone in self.backbones for tensor in set(backbone.parameters()))
        mixed = {
            id(module)
            for backbone in self.backbones
            for module in backbone.modules()
            if uses[id(module)] == 1 and len({owned[id(tensor)] > 1 for tensor in module.parameters()}) > 1
        }
        program = _Program(self.backbones, _IdentityTracer(mixed))
        if program.untraced:
            raise LtbenchError(
                f"members cannot share blocks of this {type(self.backbones[0].trunk).__name__}: torch.fx cannot trace it. "
                "Share the whole backbone, or nothing."
            )
        if self.compiled:
            program.compile()
        return program

    @torch.no_grad()
    def _try(self, images: Tensor) -> None:
        """In eval mode, on the first images, in full precision: autocast would keep weights without gradient."""
        modes = [(module, module.training) for backbone in self.backbones for module in backbone.modules()]
        for backbone in self.backbones:
            backbone.eval()
        with torch.autocast(images.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
            self._programs[False] = self._traced()
            pairs = zip(self._programs[False](images.float()), self.backbones, strict=True)
            same = all(torch.equal(answer, backbone(images.float())) for answer, backbone in pairs)
        for module, mode in modes:
            module.training = mode
        if not same:
            raise LtbenchError(
                "members cannot share blocks of this backbone: traced by torch.fx, it answers otherwise."
            )


@dataclass(frozen=True)
class _Value:
    """What a step leaves, by the number of the step; 0 is the images."""

    number: int


_IMAGES = _Value(0)


@dataclass
class _Step:
    """One operation, with :class:`_Value` in its arguments where a tensor goes.

    Attributes:
        in_place: it overwrites its first argument.
        last: numbers of the values that no later step needs.
    """

    run: Callable[..., Any]
    args: Any
    kwargs: Any
    in_place: bool
    last: frozenset[int] = frozenset()


class _Program:
    """The steps of all backbones, one after the other. What an earlier backbone has computed is not computed again."""

    def __init__(self, backbones: Iterable[nn.Module], tracer: "_Tracer | None") -> None:
        self.steps: list[_Step] = []
        self.untraced = 0
        self._tracer = tracer
        self._known: dict[Hashable, _Value] = {}
        self._answers = [self._traced(backbone) or self._whole(backbone) for backbone in backbones]
        self._release()

    def __call__(self, images: Tensor) -> list[Tensor]:
        values: dict[int, Any] = {_IMAGES.number: images}

        def filled(entry: Any) -> Any:
            return values[entry.number] if isinstance(entry, _Value) else entry

        for number, step in enumerate(self.steps, 1):
            args = map_aggregate(step.args, filled)
            if step.in_place and step.args[0].number not in step.last:
                args = (args[0].clone(), *args[1:])
            values[number] = step.run(*args, **map_aggregate(step.kwargs, filled))
            for unneeded in step.last:
                del values[unneeded]
        return [values[answer.number] for answer in self._answers]

    def compile(self) -> None:
        """Every module that is a step, for itself."""
        for step in self.steps:
            if isinstance(step.run, nn.Module):
                step.run = torch.compile(step.run)

    def _whole(self, backbone: nn.Module) -> _Value:
        self.untraced += 1
        return self._add(backbone, _Step(backbone, (_IMAGES,), {}, in_place=False))

    def _traced(self, backbone: nn.Module) -> _Value | None:
        """The value of the backbone's features; None where fx cannot follow it."""
        if self._tracer is None:
            return None
        try:
            graph = self._tracer.trace(backbone)
        except Exception:  # a model may do anything with what it is given in place of a tensor
            return None
        values: dict[Any, Any] = {}
        for node in graph.nodes:
            if node.op == "placeholder":
                values[node] = _IMAGES
            elif node.op == "output":
                return values.get(node.args[0])
            else:
                args, kwargs = map_aggregate((node.args, node.kwargs), lambda entry: values.get(entry, entry))
                what, run, in_place = _operation(node, backbone, self._tracer)
                key = node.op, what, _hashable(args), _hashable(kwargs)
                values[node] = self._add(key, _Step(run, args, kwargs, in_place))
        return None

    def _add(self, key: Hashable, step: _Step) -> _Value:
        if key not in self._known:
            self.steps.append(step)
            self._known[key] = _Value(len(self.steps))
        return self._known[key]

    def _release(self) -> None:
        """Let go of each value after its last use: between two backbones only what they share is kept."""
        needed = {answer.number for answer in self._answers}
        for step in reversed(self.steps):
            used = _numbers((step.args, step.kwargs))
            step.last = frozenset(used - needed)
            needed |= used


def _numbers(arguments: Any) -> set[int]:
    found: list[int] = []
    map_aggregate(arguments, lambda entry: found.append(entry.number) if isinstance(entry, _Value) else None)
    return set(found)


class _Tracer(fx.Tracer):
    """torch's own layers are single operations, and so is what timm marks as not to be traced."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return type(module) in get_notrace_modules() or super().is_leaf_module(module, qualified_name)

    def identity(self, target: str, part: nn.Module | Tensor) -> Hashable:
        """What two backbones must agree in to have this module or tensor in common: place, settings and values."""
        if isinstance(part, nn.Module):
            return target, type(part), repr(part), weights_digest(part)
        return tensors_digest({"": part})


class _IdentityTracer(_Tracer):
    """All modules are single operations but those with a number in ``mixed``; the very same ones are in common."""

    def __init__(self, mixed: set[int]) -> None:
        super().__init__()
        self.mixed = mixed

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return id(module) not in self.mixed

    def identity(self, target: str, part: nn.Module | Tensor) -> Hashable:
        return id(part)


def _operation(node: fx.Node, root: nn.Module, tracer: _Tracer) -> tuple[Hashable, Callable[..., Any], bool]:
    """(what tells it from others, how to run it, whether it overwrites its first argument)."""
    target: Any = node.target
    if node.op == "call_module":
        module = root.get_submodule(target)
        return tracer.identity(target, module), module, getattr(module, "inplace", False)
    if node.op == "get_attr":
        tensor: Any = reduce(getattr, target.split("."), root)
        return tracer.identity(target, tensor), lambda: tensor, False
    name = target if node.op == "call_method" else getattr(target, "__name__", "")
    in_place = node.kwargs.get("inplace") is True or (name.endswith("_") and not name.endswith("__"))
    if node.op == "call_method":
        return target, lambda own, *args, **kwargs: getattr(own, target)(*args, **kwargs), in_place
    return target, target, in_place


def _hashable(entry: Any) -> Hashable:
    """Arguments as a key: 1, 1.0 and True are three."""
    if isinstance(entry, (tuple, list)):
        return tuple(_hashable(part) for part in entry)
    if isinstance(entry, dict):
        return tuple(sorted((name, _hashable(part)) for name, part in entry.items()))
    if isinstance(entry, slice):
        return "slice", _hashable((entry.start, entry.stop, entry.step))
    return type(entry), entry
