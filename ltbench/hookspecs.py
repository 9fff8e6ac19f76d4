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

    Example::

        @hookimpl
        def ltbench_before_run(run):
            print("starting", run.name, "with seed", run.config.seed)
    """


@hookspec
def ltbench_after_epoch(run: "Run", stage: str, epoch: int, metrics: dict[str, Any]) -> None:
    """Called on the main process after every epoch of every member; ``epoch`` counts from 1.

    Example::

        @hookimpl
        def ltbench_after_epoch(run, stage, epoch, metrics):
            wandb.log({f"{stage}/{name}": value for name, value in metrics.items()}, step=epoch)
    """


@hookspec
def ltbench_after_record(run: "Run", record: "Record") -> None:
    """Called for every record that a run leaves (one for each fuser, the references' and the controls' too).

    Example::

        @hookimpl
        def ltbench_after_record(run, record):
            requests.post(URL, data=record.model_dump_json())
    """


@hookspec
def ltbench_on_run_error(run: "Run", error: BaseException) -> None:
    """Called when a run fails, before the error goes on to the user; of several processes, on each that fails.

    What was computed before stays in the cache.

    Example::

        @hookimpl
        def ltbench_on_run_error(run, error):
            notify(f"{run.name} failed: {error}")
    """
