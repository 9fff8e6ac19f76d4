"""An option that several commands have is the same option wherever it stands."""

from collections import defaultdict
from collections.abc import Iterator

import click
import pytest

from ltbench.cli.group import COMMANDS, Stub, cli
from ltbench.cli.options import Command


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


def test_no_command_takes_a_single_value_twice() -> None:
    """Whatever command an option stands in: the last one must not win silently."""
    tried = 0
    for name in (name for names in COMMANDS.values() for name in names):
        stub = cli.commands[name]
        assert isinstance(stub, Stub)
        for full_name, command in leaves(stub.load(), name):
            assert isinstance(command, Command), full_name
            for option in command.params:
                if isinstance(option, click.Option) and not (option.is_flag or option.multiple):
                    tried += 1
                    given = [option.opts[0], "1", option.opts[-1], "1"]
                    with pytest.raises(click.UsageError, match=f"{option.opts[-1]} is given 2 times"):
                        command.make_context(full_name, given)
    assert tried > 30


def test_configuration_files_lie_on_each_other(ltb, tmp_path) -> None:
    below, above = tmp_path / "below.toml", tmp_path / "above.toml"
    below.write_text("[baseline.optim]\nlr = 0.25\nepochs = 7\n")
    above.write_text("[baseline.optim]\nlr = 0.125\n")
    for files, lr, source in (((below, above), 0.125, above), ((above, below), 0.25, below)):
        options = [part for file in files for part in ("--config", file)]
        done = ltb("run", "-m", "baseline", *options, "--dry-run")
        assert done.code == 0, done.err
        (line,) = [line for line in done.out.splitlines() if "baseline.optim.lr" in line]
        assert str(lr) in line
        assert str(source) in line
        assert "baseline.optim.epochs" in done.out
