"""What a user sees while a run works: bars on a terminal, one line for each finished training elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.text import Text
from torch import Tensor

from ltbench.common.terminal import console

SECONDS_BETWEEN = 0.25
"""Least time between two updates of the loss: reading it waits for the device."""


class Bar:
    """Progress of one training, in steps."""

    def __init__(self, label: str, epochs: int, steps_per_epoch: int, progress: Progress | None) -> None:
        self.label, self.epochs, self.steps_per_epoch = label, epochs, steps_per_epoch
        self._progress = progress
        self._task: TaskID | None = None
        self._updated = 0.0
        self._steps = 0
        self._accuracy = ""
        if progress is not None:
            self._task = progress.add_task(label, total=epochs * steps_per_epoch, detail="")

    def step(self, epoch: int, loss: Tensor, samples: int) -> None:
        """One step done in ``epoch`` (from 0); ``loss``, summed over ``samples``, is read only when the display is due."""
        self._steps += 1
        if self._progress is None or self._task is None or time.monotonic() - self._updated < SECONDS_BETWEEN:
            return
        self._updated = time.monotonic()
        self._show(epoch, f"loss {float(loss) / samples:.3f}")

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """``epoch`` epochs are done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=epoch * self.steps_per_epoch)
            self._steps = 0
            if "val_accuracy" in metrics:
                self._accuracy = f"  val {metrics['val_accuracy']:.1f} %"
            self._show(epoch, f"loss {metrics['loss']:.3f}")

    def _show(self, epoch: int, loss: str) -> None:
        if self._progress is None or self._task is None:
            return
        self._progress.update(
            self._task,
            advance=self._steps,
            detail=f"epoch {min(epoch + 1, self.epochs)}/{self.epochs}  {loss}{self._accuracy}",
        )
        self._steps = 0


class Reporter:
    """Where progress goes. Standard output stays free for results.

    Args:
        quiet: show nothing (other processes than the first, and ``--json``).
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = console(stderr=True, quiet=quiet)
        self._live = self.console.is_terminal and not quiet
        self._spinner: Status | None = None

    def line(self, text: str) -> None:
        self.console.print(text)

    @contextmanager
    def training(self, label: str, epochs: int, steps_per_epoch: int) -> Iterator[Bar]:
        """A bar while one training runs."""
        if not self._live:
            yield Bar(label, epochs, steps_per_epoch, None)
            return
        with self._alone(self._bars()) as progress:
            yield Bar(label, epochs, steps_per_epoch, progress)

    @contextmanager
    def steps(self, label: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar for a loop of another kind; what it gives is called after each step."""
        if not self._live:
            yield lambda: None
            return
        with self._alone(self._bars()) as progress:
            yield partial(progress.advance, progress.add_task(label, total=total, detail=""))

    def _bars(self) -> Progress:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self.console, transient=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """A spinner around something without steps."""
        if not self._live:
            yield
            return
        with self.console.status(Text(text)) as spinner:
            self._spinner = spinner
            try:
                yield
            finally:
                self._spinner = None

    @contextmanager
    def _alone(self, progress: Progress) -> Iterator[Progress]:
        """The bars in place of a spinner: rich shows one thing at a time."""
        spinner = self._spinner
        if spinner is not None:
            spinner.stop()
        try:
            with progress:
                yield progress
        finally:
            if spinner is not None:
                spinner.start()
