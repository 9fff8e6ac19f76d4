"""An option that several commands have is the same option wherever it stands."""

from collections import defaultdict
from collections.abc import Iterator

import click
import pytest

from ltbench.cli.group import COMMANDS, Stub, cli


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """The command, or its subcommands, by full name."""
    if isinstance(command, click.Group):
        for sub_name, sub in command.commands.items():
            yield from leaves(sub, f"{name} {sub_name}")
    else:
        yield name, command


@pytest.fixture(scope="module")
def options() -> dict[str, dict[str, click.Option]]:
    """Long flag -> command -> its option of that flag."""
    found: dict[str, dict[str, click.Option]] = defaultdict(dict)
    for name in (name for names in COMMANDS.values() for name in names):
        stub = cli.commands.get(name)
        for full_name, command in leaves(stub.load(), name) if isinstance(stub, Stub) else ():
            for option in command.params:
                if isinstance(option, click.Option):
                    found[option.opts[-1]][full_name] = option
    return found


def test_it_is_spelt_alike_and_takes_the_same_values(options: dict[str, dict[str, click.Option]]) -> None:
    assert len(options["--json"]) >= 15
    for flag, of_command in options.items():
        forms = {(tuple(option.opts), str(option.type.to_info_dict())) for option in of_command.values()}
        assert len(forms) == 1, f"{flag}: {forms} in {', '.join(of_command)}"


@pytest.mark.parametrize(
    "flag", ["--dataset", "--data-root", "--on-bad-image", "--backbone", "--config", "--num-processes", "--results"]
)
def test_run_and_reproduce_explain_it_alike(options: dict[str, dict[str, click.Option]], flag: str) -> None:
    run, reproduce = options[flag]["run"], options[flag]["reproduce"]
    assert run.help
    assert run.to_info_dict() == reproduce.to_info_dict()
