"""Looks on while ``ltbench plugin test`` trains a method: what was frozen and moves, what depends on places in a batch.

It also stops a training on request, so that another object of the method's class can go on with it, as a new process would.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, Unpack, cast

import torch
from torch import Tensor, nn

from ltbench.engine.context import StageContext
from ltbench.engine.fitting import checkpoint
from ltbench.engine.machine.seeding import global_stream, stream
from ltbench.engine.workbench import Workbench
from ltbench.method import Member, Method
from ltbench.training.request import Kept, Round, Training, TrainingResult
from ltbench.training.step import Clock, Engine, Minibatch, Step, minimised

TOLERANCE = 1e-3
"""Difference of two values of a loss, relative to it or to 1, that another order of additions may leave."""

FEWEST = 4
"""Samples of a batch in which an order can be told from another."""


class Stopped(BaseException):
    """Ends a training as a kill would; no error that a plugin could catch by mistake."""


class WatchedContext(StageContext):
    """A context that notes what the training of one method does and must not do.

    Args:
        stop_at: number of the epoch or round, counted through all trainings, at whose end :class:`Stopped` is raised.

    Attributes:
        events: epochs and rounds so far.
        history: metrics of every epoch of the trainings that came to an end, but for the time that it took.
        findings: what was seen, a line each.
    """

    def __init__(
        self,
        name: str,
        workbench: Workbench,
        folder: Path | None,
        required: Mapping[str, Callable[[], list[Member]]],
        stop_at: int | None = None,
    ) -> None:
        super().__init__(name, replace(workbench, after_epoch=lambda *_: self._happened()), folder, required)
        self.events, self.findings, self._stop_at = 0, list[str](), stop_at
        self.history: list[dict[str, float]] = []
        self._method: Method | None = None
        self._frozen: dict[str, tuple[Tensor, Tensor]] = {}
        self._begun = False

    def watch(self, method: Method, members: Sequence[Member]) -> None:
        """From now on look at this method and its members, which were just built."""
        self._method = method
        for member in members:
            for name, tensor in _frozen_in(member.module):
                self._frozen.setdefault(f"{member.name}.{name}", (tensor, tensor.detach().clone()))

    def moved(self) -> list[str]:
        """Names of the weights and statistics that ``build`` froze and that are no longer what they were.

        What ``fit`` loads before its first training, say from another stage, counts as what they were.
        """
        return [name for name, (tensor, before) in self._frozen.items() if not torch.equal(tensor, before)]

    def train(self, members: Member | Sequence[Member], **asked: Unpack[Training]) -> TrainingResult:
        self._begin()
        together = [members] if isinstance(members, Member) else list(members)
        result = super().train(members, **self._watched(together, asked))
        self.history += [
            {name: value for name, value in epoch.items() if name != "seconds"} for epoch in result.history
        ]
        return result

    def batches(self, epoch: int, **asked: Any) -> Iterator[Minibatch]:
        self._begin()
        return super().batches(epoch, **asked)

    def rounds(self, label: str, total: int, keep: Kept) -> Iterator[Round]:
        self._begin()
        for each in super().rounds(label, total, keep):
            yield each
            self._happened()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._frozen = {name: (tensor, tensor.detach().clone()) for name, (tensor, _) in self._frozen.items()}

    def _happened(self) -> None:
        self.events += 1
        if self.events == self._stop_at:
            raise Stopped

    def _watched(self, members: Sequence[Member], asked: Training) -> Training:
        """The arguments of a training with its loss, objective or update looked at now and then."""
        parts = [*(member.module for member in members), *(asked.get("keep") or {}).values()]
        changed: dict[str, Any] = {**asked}
        if (loss := asked.get("loss")) is not None:
            changed["loss"] = self._watched_loss(loss)
        if (objective := asked.get("objective")) is not None:
            changed["objective"] = self._watched_objective(objective, parts)
        if (update := asked.get("update")) is not None:
            changed["update"] = self._watched_update(update, parts)
        return cast(Training, changed)

    def _watched_loss(self, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        due = _NowAndThen()

        @wraps(loss)
        def watched(logits: Tensor, targets: Tensor, **more: Tensor) -> Tensor:
            def of(order: Tensor, seed: int) -> Tensor:
                reordered = {name: values.detach()[order] for name, values in more.items()}
                return loss(logits.detach()[order], targets[order], **reordered)

            if due():
                self._compare("loss", of, len(targets), [])
            return loss(logits, targets, **more)

        return watched

    def _watched_objective(self, objective: Callable[[Step], Any], parts: Sequence[Any]) -> Callable[[Step], Any]:
        due = _NowAndThen()

        @wraps(objective)
        def watched(step: Step) -> Any:
            if due() and step.batch is None:
                of = _on(step, lambda other: minimised(objective(other)))
                self._compare("objective", of, len(step.targets), parts)
            return objective(step)

        return watched

    def _watched_update(self, update: Callable[..., Tensor], parts: Sequence[Any]) -> Callable[..., Tensor]:
        due = _NowAndThen()

        @wraps(update)
        def watched(step: Step, optimizer: torch.optim.Optimizer) -> Tensor:
            if due() and step.batch is None:
                of = _on(step, lambda other: update(other, optimizer))
                self._compare("update", of, len(step.targets), [*parts, optimizer])
            return update(step, optimizer)

        return watched

    def _compare(self, level: str, value: Callable[[Tensor, int], Tensor], size: int, parts: Sequence[Any]) -> None:
        """Ask for ``value(order, seed)`` of a batch as it is, with other random numbers, and in another order.

        One that random numbers decide cannot be asked this way.
        """
        if size < FEWEST or self._method is None:
            return
        natural = torch.arange(size)
        other = torch.randperm(size, generator=stream(0, "another order", size))
        found = []
        for order, seed in ((natural, 0), (natural, 1), (other, 0)):
            with unchanged(self._method, parts), global_stream(seed, "asked again"):
                found.append(float(value(order.to(self.device), seed).detach()))
        first, again, reordered = found
        if first == again and abs(reordered - first) > TOLERANCE * max(1.0, abs(first)):
            self.findings.append(
                f"its {level} depends on the places of the samples in their batch; several processes share a batch out "
                "sample by sample, so that what stands side by side comes apart. Two views of an image: views=2, step.views"
            )


@contextmanager
def every_epoch_kept() -> Iterator[None]:
    """Checkpoints are written however short the epochs are."""
    before, checkpoint.SECONDS_BETWEEN = checkpoint.SECONDS_BETWEEN, 0.0
    try:
        yield
    finally:
        checkpoint.SECONDS_BETWEEN = before


@contextmanager
def unchanged(owner: object, parts: Sequence[nn.Module | torch.optim.Optimizer]) -> Iterator[None]:
    """Afterwards the attributes of ``owner`` and the tensors of ``parts`` are what they were before."""
    attributes = {name: (value, _copy(value)) for name, value in vars(owner).items()}
    modules = [module for part in parts if isinstance(part, nn.Module) for module in part.modules()]
    tensors = [
        (module, name, tensor, tensor.detach().clone())
        for module in modules
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    ]
    optimizers = [part for part in parts if isinstance(part, torch.optim.Optimizer)]
    states = [{each: dict(state) for each, state in optimizer.state.items()} for optimizer in optimizers]
    copies = [
        {each: {name: _copy(value) for name, value in state.items()} for each, state in kept.items()} for kept in states
    ]
    try:
        yield
    finally:
        for module, name, tensor, copy in tensors:
            setattr(module, name, _restored(tensor, copy))
        for optimizer, kept, copied in zip(optimizers, states, copies, strict=True):
            optimizer.state.clear()
            for each, state in kept.items():
                optimizer.state[each] = {name: _restored(value, copied[each][name]) for name, value in state.items()}
        vars(owner).clear()
        vars(owner).update({name: _restored(value, copy) for name, (value, copy) in attributes.items()})


def _copy(value: Any) -> Any:
    """What it takes to bring a tensor or a generator back to where it stands; else the value itself."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    return value.detach().clone() if isinstance(value, Tensor) else value


@torch.no_grad()
def _restored(value: Any, copy: Any) -> Any:
    if isinstance(value, torch.Generator):
        value.set_state(copy)
    elif isinstance(value, Tensor) and not torch.equal(value, copy):
        value.copy_(copy)
    return value


def _frozen_in(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters that do not learn, and buffers of modules that have parameters of which none learns."""
    for prefix, each in module.named_modules():
        stem, below = f"{prefix}." if prefix else "", list(each.parameters())
        for name, parameter in each.named_parameters(recurse=False):
            if not parameter.requires_grad:
                yield stem + name, parameter
        if below and not any(parameter.requires_grad for parameter in below):
            yield from ((stem + name, buffer) for name, buffer in each.named_buffers())


def _on(step: Step, value: Callable[[Step], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """``value`` of the same step with its samples in an order int64[B], and with the random numbers of a seed."""

    def of(order: Tensor, seed: int) -> Tensor:
        batch, rows = step.minibatch, order.cpu()
        reordered = Minibatch(
            tuple(view[order] for view in batch.views),
            batch.targets[order],
            batch.indices[rows],
            batch.places[rows],
            batch.total,
        )
        clock = Clock(step.epoch, step.epochs, step.step, step.steps, step.factor)
        engine = Engine(
            forward=step.forward,
            generator=lambda: stream(seed, "asked again", step.step),
            backward=lambda loss, _: loss.backward(),
            gather=lambda values, part: values[part.places.argsort().to(values.device)],
        )
        return value(Step(reordered, clock, engine))

    return of


class _NowAndThen:
    """Says yes at the calls 1, 2, 4, 8, ...: what is weighted with nought at first is seen later."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self) -> bool:
        self._calls += 1
        return self._calls & (self._calls - 1) == 0
