"""Every hook a plugin can implement. Each docstring is the hook's documentation and holds an example.

The ``ltbench_*`` registration hooks run at start-up: they must not import torch (yield specs with lazy targets). There
is no hook for a training step: the loop stays plain, and a method changes it by overriding its own ``loss`` or ``sampler``.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ltbench.plugin import Check, DatasetSpec, FuserSpec, MethodSpec, hookspec

if TYPE_CHECKING:
    import click

    from ltbench.plan import Run
    from ltbench.results.record import Record

__all__ = [
    "ltbench_after_epoch",
    "ltbench_after_record",
    "ltbench_before_run",
    "ltbench_checks",
    "ltbench_commands",
    "ltbench_datasets",
    "ltbench_fusers",
    "ltbench_methods",
    "ltbench_on_run_error",
]


@hookspec
def ltbench_methods() -> Iterable[MethodSpec]:  # type: ignore[empty-body]
    """Register methods.

    Example::

        @hookimpl
        def ltbench_methods():
            yield MethodSpec("mine", target="my_package.mine:Mine", summary="A line.", recipe="baseline")
    """


@hookspec
def ltbench_fusers() -> Iterable[FuserSpec]:  # type: ignore[empty-body]
    """Register fusers.

    Example::

        @hookimpl
        def ltbench_fusers():
            yield FuserSpec("median", target="my_package.median:Median", summary="Median of the full posteriors.")
    """


@hookspec
def ltbench_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Register datasets.

    Example::

        @hookimpl
        def ltbench_datasets():
            yield DatasetSpec("birds-lt", target="my_package.birds:Birds", recipes="my_package:recipes")
    """


@hookspec
def ltbench_commands(cli: "click.Group") -> None:
    """Add commands to the command line.

    Example::

        @hookimpl
        def ltbench_commands(cli):
            @cli.command()
            def hello():
                "Say hello."
                click.echo("hello")
    """


@hookspec
def ltbench_checks() -> Iterable[Check]:  # type: ignore[empty-body]
    """Report on this plugin's needs in ``ltbench doctor``.

    Example::

        @hookimpl
        def ltbench_checks():
            yield Check("word vectors", Path("glove.safetensors").exists(), "put glove.safetensors beside the data")
    """


@hookspec
def ltbench_before_run(run: "Run") -> None:
    """Called once the plan of a run stands, before any stage is trained; of several processes, on each.

    This hook, ``ltbench_after_epoch`` and ``ltbench_after_record`` may ``raise ltbench.StopRun("why")``: when all plugins have
    been called, the run ends on all of its processes with exit code 5 and a line that names the plugin and the reason. The
    epoch, the stages and the records that are done are kept, and the same command goes on from there. Any other exception
    costs a line, and the run goes on.

    Example::

        @hookimpl
        def ltbench_before_run(run):
            print("starting", run.name, "with seed", run.config.seed)
    """


@hookspec
def ltbench_after_epoch(run: "Run", stage: str, epoch: int, metrics: dict[str, Any]) -> None:
    """Called on the main process after every epoch of every member; ``epoch`` counts from 1. It may stop the run.

    An epoch after which a run is stopped is kept: the next run goes on with the one that follows.

    Example::

        @hookimpl
        def ltbench_after_epoch(run, stage, epoch, metrics):
            wandb.log({f"{stage}/{name}": value for name, value in metrics.items()}, step=epoch)
            if time.time() > DEADLINE:
                raise StopRun("the night is over")
    """


@hookspec
def ltbench_after_record(run: "Run", record: "Record") -> None:
    """Called on the main process for every record that a run leaves: one for each fuser, those of references and controls, too.

    The record is written. A run that is stopped here leaves the records that follow to the next one.

    Example::

        @hookimpl
        def ltbench_after_record(run, record):
            requests.post(URL, data=record.model_dump_json())
    """


@hookspec
def ltbench_on_run_error(run: "Run", error: BaseException) -> None:
    """Called when a run fails or is stopped, before the error goes on to the user; of several processes, on each that ends so.

    Of a run that a plugin has stopped, ``error`` is the :class:`ltbench.StopRun`. What was computed before stays in the cache.

    Example::

        @hookimpl
        def ltbench_on_run_error(run, error):
            notify(f"{run.name} failed: {error}")
    """
