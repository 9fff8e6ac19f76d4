"""The hooks of a run: who is told what, and how a plugin that asks for it ends the run on all of its processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ltbench.engine.machine.compute import Compute
from ltbench.errors import StopRun
from ltbench.registry.manager import plugins

if TYPE_CHECKING:
    from ltbench.plan import Run
    from ltbench.results.record import Record


class Hooks:
    """Those of one run. Each method but :meth:`on_error` must be called on every process, and raises StopRun on every one."""

    def __init__(self, run: "Run", compute: Compute) -> None:
        self._run, self._compute = run, compute
        self._stopped: StopRun | None = None

    def before_run(self) -> None:
        with self.together():
            plugins().call("ltbench_before_run", run=self._run)

    def after_epoch(self, stage: str, epoch: int, metrics: dict[str, Any]) -> None:
        with self.together():
            if self._compute.is_main:
                plugins().call("ltbench_after_epoch", run=self._run, stage=stage, epoch=epoch, metrics=metrics)

    def after_record(self, record: "Record") -> None:
        """Of the main process, within :meth:`together`."""
        plugins().call("ltbench_after_record", run=self._run, record=record)

    def on_error(self, error: BaseException) -> None:
        plugins().call("ltbench_on_run_error", run=self._run, error=error)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let a stop on any process within be one of all of them: none waits for another that has left."""
        stop = None
        try:
            yield
        except StopRun as raised:
            stop = raised
        asked = self._compute.first((stop.reason, stop.plugin) if stop is not None else None)
        if asked is not None:
            self._stopped = stop or StopRun(*asked)
            raise self._stopped

    def insist(self) -> None:
        """Raise a stop again that a method's own code has caught."""
        if self._stopped is not None:
            raise self._stopped
